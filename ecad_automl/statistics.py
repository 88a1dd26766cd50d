"""Paired differences with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MeanDifference", "paired_difference"]


@dataclass(frozen=True)
class MeanDifference:
    """A mean difference and its standard error (NaN where one prompt gives no estimate)."""

    mean: float
    standard_error: float

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Normal confidence interval, 95 % by default."""
        return self.mean - z * self.standard_error, self.mean + z * self.standard_error


def paired_difference(scores: NDArray[np.float64], baseline: NDArray[np.float64]) -> MeanDifference:
    """Mean of ``scores - baseline``, with the standard error over prompts.

    Seeds of one prompt are averaged first: images of one prompt are not independent, and taking them as such would
    make the error too small.

    Args:
        scores: ``(prompts, seeds)``.
        baseline: ``(prompts, seeds)`` of the same prompts and seeds.
    """
    by_prompt = (scores - baseline).mean(axis=1)
    error = float(by_prompt.std(ddof=1) / np.sqrt(len(by_prompt))) if len(by_prompt) > 1 else float("nan")
    return MeanDifference(float(by_prompt.mean()), error)
