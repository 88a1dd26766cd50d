"""What a search is given to work with: whole evaluations and cheaper looks at the model, all paid for in images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule

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

    def output_distance(self) -> NDArray[np.float64]:
        """How far the transformer's outputs move in an uncached run, for the images of a whole evaluation.

        Returns:
            ``(steps, steps)``: mean square of the difference between the outputs at two steps.
        """

    def latent_error(self, schedule: Schedule, images: int) -> float:
        """How far a schedule leads the last latents away from those of the uncached run.

        Args:
            schedule: what to run.
            images: of how many images, spread evenly over prompts and noises; so many are paid for.

        Returns:
            Mean square of the difference, divided by the mean square of the uncached latents.
        """
