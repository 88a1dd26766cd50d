"""The settings of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ecad_automl.errors import OptionError
from ecad_automl.latency.model import FEWEST_SCHEDULES
from studies.breeding import BreedingConfig

__all__ = ["SETTINGS", "Heuristics", "LatencySettings", "SearchConfig"]

#: What a study keeps the settings of its latest run under.
SETTINGS = "search settings"

Heuristics = Literal["fora", "all", "none"]


@dataclass(frozen=True)
class LatencySettings:
    """How the latency model of a search is calibrated.

    Args:
        batch_size: images per timed pipeline call; the study holds to it.
        schedules: random schedules that are timed, once, before the study's first evaluation.

    Raises:
        OptionError: a number is out of range.
    """

    batch_size: int = 1
    schedules: int = 40

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"The latency batch size is {self.batch_size}; at least 1 image per call is needed.")
        if self.schedules < FEWEST_SCHEDULES:
            raise OptionError(
                f"A latency model of {self.schedules} timed schedules was asked for, but it needs {FEWEST_SCHEDULES}."
            )


@dataclass(frozen=True)
class SearchConfig:
    """How to search.

    Args:
        evaluations: budget, in the images of so many whole evaluations, those of earlier runs of the same study
            included.
        population: schedules that survive a generation, and breed: NSGA-II's population.
        offspring: schedules that are evaluated in each generation.
        pool: candidates bred for each generation, from which the surrogate chooses the offspring.
        unfiltered: how many of the offspring are drawn from the pool by chance, to measure the surrogate on candidates
            that it did not choose.
        surrogate: False breeds without prefilter: the plain NSGA-II.
        scaled_drift: whether the drift of slots is scaled to what it does to the output and the last latents; False
            takes it as it is.
        step_seeds: number of schedules at the start that compute whole steps, those of least drift for as many numbers
            of steps.
        drift_seeds: number of other drift-optimal schedules at the start, whose slots may differ; those too cheap to be
            of interest are left out.
        heuristics: which published heuristics are evaluated at the start: FORA alone, all of them, or none.
        adaptive: whether operators are used the more often the more their children have added to the front.
        race: whether the evaluation of a bred candidate is stopped after the most telling of its images where its
            expected gain for each remaining one is too little.
        race_share: how much is too little, as a share of what the latest candidates brought for each of their images.
        asynchronous: with several workers, whether candidates are proposed as results arrive, so that no worker waits.
            False finishes each generation first; what a study finds then depends neither on the number of workers nor
            on which of them was faster.
        trust: banded rank correlation below which the surrogate is not used for a generation.
        seed: of all randomness.

    Raises:
        OptionError: a number is out of range; the message names it.
    """

    evaluations: int = 150
    population: int = 24
    offspring: int = 8
    pool: int = 360
    unfiltered: int = 1
    surrogate: bool = True
    scaled_drift: bool = True
    step_seeds: int = 10
    drift_seeds: int = 4
    heuristics: Heuristics = "fora"
    adaptive: bool = True
    race: bool = True
    race_share: float = 1.0
    asynchronous: bool = True
    trust: float = 0.1
    seed: int = 0

    @property
    def breeding(self) -> BreedingConfig:
        """How schedules are bred and chosen."""
        return BreedingConfig(
            population=self.population,
            offspring=self.offspring,
            pool=self.pool,
            rounds=1,
            unfiltered=self.unfiltered,
            surrogate=self.surrogate,
            adaptive=self.adaptive,
            min_rank_correlation=self.trust,
            seed=self.seed,
        )

    def __post_init__(self) -> None:
        if self.offspring < 2:
            raise OptionError(f"The offspring are {self.offspring}; at least 2 schedules per generation are needed.")
        if self.evaluations < self.offspring:
            raise OptionError(
                f"The budget of {self.evaluations} evaluations is below the offspring of one generation, "
                f"{self.offspring}; raise the evaluations or lower the offspring."
            )
        _ = self.breeding  # has checks of its own
        if self.heuristics not in get_args(Heuristics):
            known = ", ".join(get_args(Heuristics))
            raise OptionError(f"The heuristics {self.heuristics!r} are unknown; choose one of {known}.")
        if not self.race_share >= 0:
            raise OptionError(f"The race share is {self.race_share}; it must be at least 0, such as 1.")
        numbers = {
            "step seeds": self.step_seeds,
            "drift seeds": self.drift_seeds,
        }
        for name, number in numbers.items():
            if number < 0:
                raise OptionError(f"The number of {name} is {number}; it must not be negative.")
