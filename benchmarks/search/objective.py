"""What a search is given to work with: whole evaluations and cheaper looks at the model, all paid for in images."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.schedule import Schedule

__all__ = ["BudgetSpentError", "Mask", "Objective", "mask_of", "text_of"]

#: Computed steps, ascending; the first is always 0.
Mask = tuple[int, ...]


#: What the text of a mask begins with; texts of schedules are hexadecimal digits.
_MASK = "steps:"


def text_of(mask: Mask) -> str:
    """Of computing some steps and extrapolating in the others, as runs are kept."""
    return _MASK + ",".join(map(str, mask))


def mask_of(text: str) -> Mask | None:
    """What :func:`text_of` wrote; None where the text is that of a schedule."""
    if not text.startswith(_MASK):
        return None
    return tuple(int(step) for step in text.removeprefix(_MASK).split(","))


class BudgetSpentError(Exception):
    """The budget is spent."""


class Objective(Protocol):
    """What searches are told, and may ask for.

    All of it is paid for in images. Who asks for more than is left gets a BudgetSpentError, and nothing is generated.
    The uncached run is free, since scores are compared with it whatever the search. So is what was asked for before:
    schedules of the same effect are one. A search that asks for nothing else any more has spent its budget.
    """

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        """(reward, GMACs) of a schedule, for the images of a whole evaluation."""

    def predicted(self, mask: Mask) -> tuple[float, float]:
        """(reward, GMACs) of computing some steps, with the transformer's output extrapolated in the others.

        As DPCache does, see :func:`~benchmarks.search.whole_steps.computing_only`; for the images of a whole
        evaluation.
        """

    def floor(self) -> float:
        """The reward below which hypervolumes count nothing, that of the shortest uncached run, for its images."""

    def drift(self) -> Drift:
        """How the outputs of all slots move in an uncached run, for the images of a whole evaluation."""

    def output_products(self) -> NDArray[np.float64]:
        """How the transformer's outputs move in an uncached run, for the images of a whole evaluation.

        Returns:
            ``(steps, steps)``: mean products of the outputs at two steps.
        """

    def latent_error(self, schedule: Schedule, images: int) -> float:
        """How far a schedule leads the last latents away from those of the uncached run.

        Args:
            schedule: what to run.
            images: of how many images, spread evenly over prompts and noises; so many are paid for.

        Returns:
            Mean square of the difference, divided by the mean square of the uncached latents.
        """
