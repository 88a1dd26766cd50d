"""What a search is given to work with: whole evaluations and cheaper looks at the model, all paid for in images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ecad_automl.drift import Drift
from ecad_automl.schedule import Schedule

__all__ = ["BudgetSpentError", "Evaluate", "Objective"]

#: Schedule -> (reward, GMACs); raises BudgetSpentError when the budget is spent. Searches over bits need no more.
Evaluate = Callable[[Schedule], tuple[float, float]]


class BudgetSpentError(Exception):
    """The budget is spent."""


class Objective(Protocol):
    """What searches over whole steps need besides.

    All of it is paid for in images. Who asks for more than is left gets a BudgetSpentError, and nothing is generated.
    The uncached run is free, since scores are compared with it whatever the search.
    """

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        """(reward, GMACs) of a schedule, for the images of a whole evaluation."""

    def drift(self) -> Drift:
        """Drift of every slot in an uncached run that is watched, for the images of a whole evaluation."""

    def latent_error(self, schedule: Schedule, images: int) -> float:
        """How far a schedule leads the last latents away from those of the uncached run.

        Args:
            schedule: what to run.
            images: of how many images, spread evenly over prompts and noises; so many are paid for.

        Returns:
            Mean square of the difference, divided by the mean square of the uncached latents.
        """
