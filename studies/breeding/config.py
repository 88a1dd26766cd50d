"""The settings of breeding."""

from __future__ import annotations

from dataclasses import dataclass

from ecad_automl.errors import OptionError

__all__ = ["BreedingConfig"]


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
        least = {"population": 2, "offspring": 1, "rounds": 1, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise OptionError(f"The {name} is {getattr(self, name)}; it must be at least {bound}.")
        if not 0 <= self.unfiltered <= self.offspring:
            raise OptionError(f"The unfiltered are {self.unfiltered} of {self.offspring} offspring; they must fit in.")
        if self.pool < self.offspring:
            raise OptionError(f"The pool of {self.pool} is below the offspring, {self.offspring}; it must not be.")
