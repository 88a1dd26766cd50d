"""Stopping the evaluation of a candidate that will hardly enter the front.

All candidates start from the same noise and are judged on the same prompts, so a candidate is compared image by image
with the one that it would have to beat: most of what makes images differ cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Incumbents", "chance_to_win"]

Floats = NDArray[np.float64]


def chance_to_win(scores: Floats, incumbent: Floats) -> float:
    """The chance that a candidate's mean score over all images will be above that of an incumbent.

    Differences still to come are taken for draws from the distribution of those that are there. With ``n`` differences
    of mean ``d`` and variance ``v``, and ``m`` to come, the mean over all has the predictive mean ``d`` and variance
    ``(m / (n + m))^2 * v * (1 / n + 1 / m)``, and follows a t-distribution with ``n - 1`` degrees of freedom.

    Args:
        scores: ``(prompts, k)`` of the candidate, on the first ``k`` seeds.
        incumbent: ``(prompts, seeds)``.

    Returns:
        From 0 to 1; 0.5 where one image cannot tell. A candidate that has all its images wins or loses for certain.
    """
    from scipy.stats import t

    difference = (scores - incumbent[:, : scores.shape[1]]).ravel()
    done, left = len(difference), incumbent.size - len(difference)
    mean = float(difference.mean())
    if not left:
        return float(mean > 0)
    if done < 2:
        return 0.5
    spread = left / incumbent.size * float(difference.std(ddof=1)) * np.sqrt(1 / done + 1 / left)
    if spread == 0:
        return float(mean > 0)
    return float(t.sf(-mean / spread, done - 1))


class Incumbents:
    """The whole evaluations of a study, of which a candidate has to beat one to enter the front."""

    def __init__(self) -> None:
        self._costs: list[float] = []
        self._scores: list[Floats] = []

    def add(self, cost: float, scores: Floats) -> None:
        """A candidate of that cost has got ``(prompts, seeds)`` scores."""
        self._costs.append(cost)
        self._scores.append(scores)

    def chance(self, cost: float, scores: Floats) -> float:
        """The chance that a candidate enters the front.

        Args:
            cost: of the candidate.
            scores: ``(prompts, k)`` of the candidate, on the first ``k`` seeds.

        Returns:
            The chance to beat the best incumbent of at most that cost; 1 where there is none.
        """
        rivals = [number for number, other in enumerate(self._costs) if other <= cost]
        if not rivals:
            return 1.0
        best = max(rivals, key=lambda number: float(self._scores[number].mean()))
        return chance_to_win(scores, self._scores[best])
