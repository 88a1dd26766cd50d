"""The settings of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ecad_automl.errors import OptionError
from ecad_automl.latency.latency_model import FEWEST_SCHEDULES

#: What a study keeps the settings of its latest run under.
SETTINGS = "search settings"

Heuristics = Literal["fora", "all", "none"]
#: What may stand in for computing: ECAD's reuse alone, skipped steps alone, or forecasts of all outputs.
Use = Literal["forecast", "skip", "reuse"]
#: What may be done about the two branches of guidance: searched like all else, or both kept in every step.
GuidanceUse = Literal["search", "keep"]
#: What schedules are to run in: other engines, which compute whole steps by one mask for all of a run.
Deploy = Literal["whole-steps"]


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
class BreedingConfig:
    """How candidates are bred and chosen.

    Args:
        population: candidates that survive a generation, and breed: NSGA-II's population.
        offspring: candidates that are evaluated in each generation.
        pool: candidates bred for each generation, from which the surrogate chooses the offspring.
        rounds: pools that are bred for each generation, each but the first also from the candidates so far of which the
            surrogate expects most. More of them exploit the surrogate, errors included.
        unfiltered: how many of the offspring are drawn from the pool by chance, to measure the surrogate on candidates
            that it did not choose.
        surrogate: False breeds without one: plain NSGA-II.
        adaptive: whether operators are used the more often the more their children have added to the front.
        min_rank_correlation: of predicted and measured values, at equal values of the other objective, below which the
            surrogate is not used for a generation.
        seed: of all randomness, not negative.

    Raises:
        OptionError: a number is out of range; the message names it.
    """

    population: int = 24
    offspring: int = 8
    pool: int = 400
    rounds: int = 5
    unfiltered: int = 1
    surrogate: bool = True
    adaptive: bool = True
    min_rank_correlation: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(self, population=2, offspring=1, rounds=1, seed=0)
        if not 0 <= self.unfiltered <= self.offspring:
            raise OptionError(f"The unfiltered are {self.unfiltered} of {self.offspring} offspring; they must fit in.")
        if self.pool < self.offspring:
            raise OptionError(f"The pool of {self.pool} is below the offspring, {self.offspring}; it must not be.")


@dataclass(frozen=True)
class SearchConfig(BreedingConfig):
    """How to search: what is set here, and how candidates are bred and chosen.

    Args:
        evaluations: budget, in the images of so many whole evaluations, those of earlier runs of the same study
            included.
        scaled_drift: whether the drift of slots is scaled to what it does to the output and the last latents; False
            takes it as it is.
        step_seeds: number of schedules at the start that compute whole steps, those of least drift for as many numbers
            of steps; where outputs are forecast, the others are skipped.
        drift_seeds: number of other drift-optimal schedules at the start, whose slots may differ; those too cheap to be
            of interest are left out. Where outputs are forecast, so many leave guidance out, and half as many differ by
            slot.
        steps_from: share of the steps, from which on shorter runs are searched too: of at most 28 steps every smaller
            number, of more those that the calibration makes; 1 searches runs of all steps alone. If None, what the
            study began with, or about a fifth where it has not; all steps alone where schedules only reuse, or latency
            is minimized.
        heuristics: which published heuristics are evaluated at the start: FORA alone, all of them, or none. If None,
            FORA where schedules only reuse, and none where they forecast, which is better.
        race: whether the evaluation of a bred candidate is stopped after the most telling of its images where its
            expected gain for each remaining one is too little.
        race_share: how much is too little, as a share of what the latest candidates brought for each of their images.
        asynchronous: with several workers, whether candidates are proposed as results arrive, so that no worker waits.
            False finishes each generation first; what a study finds then depends neither on the number of workers nor
            on which of them was faster.

    Raises:
        OptionError: a number is out of range; the message names it.
    """

    pool: int = 360
    rounds: int = 1
    evaluations: int = 150
    scaled_drift: bool = True
    step_seeds: int = 10
    drift_seeds: int = 4
    steps_from: float | None = None
    heuristics: Heuristics | None = None
    race: bool = True
    race_share: float = 1.0
    asynchronous: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, offspring=2, step_seeds=0, drift_seeds=0, race_share=0)
        if self.evaluations < self.offspring:
            raise OptionError(
                f"The budget of {self.evaluations} evaluations is below the offspring of one generation, "
                f"{self.offspring}; raise the evaluations or lower the offspring."
            )
        if self.steps_from is not None and not 0 < self.steps_from <= 1:
            raise OptionError(f"Steps from {self.steps_from} were asked for; a share above 0, at most 1, is needed.")
        if self.heuristics is not None and self.heuristics not in get_args(Heuristics):
            known = ", ".join(get_args(Heuristics))
            raise OptionError(f"The heuristics {self.heuristics!r} are unknown; choose one of {known}.")


def _at_least(config: BreedingConfig, **least: int) -> None:
    for name, bound in least.items():
        if not getattr(config, name) >= bound:
            raise OptionError(f"The {name.replace('_', ' ')} is {getattr(config, name)}; it must be at least {bound}.")
