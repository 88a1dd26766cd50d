"""Stopping the evaluation of a candidate when its remaining images would be better spent on another one.

All candidates start from the same noise and are judged on the same prompts, so a candidate is compared image by image
with the one that it would have to beat: most of what makes images differ cancels.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from surrogate import GaussianForecast, Reference, expected_hypervolume_gain, hypervolume, staircase

__all__ = ["Race", "forecast"]

Floats = NDArray[np.float64]

#: What the latest candidates have brought per image is what another one is worth.
_LATEST = 24
_FEWEST = 8


def forecast(scores: Floats, incumbent: Floats) -> GaussianForecast:
    """What a candidate's mean score over all images will be.

    Differences from the incumbent that are still to come are taken for draws from the distribution of those that are
    there: with ``n`` of them, of mean ``d`` and variance ``v``, and ``m`` to come, the mean over all has the predictive
    mean ``d`` and variance ``(m / (n + m))^2 * v * (1 / n + 1 / m)``.

    Args:
        scores: ``(prompts, k)`` of the candidate, on the first ``k`` seeds; at least two scores.
        incumbent: ``(prompts, seeds)``, of more seeds than ``k``.
    """
    difference = (scores - incumbent[:, : scores.shape[1]]).ravel()
    done, left = len(difference), incumbent.size - len(difference)
    spread = left / incumbent.size * float(difference.std(ddof=1)) * np.sqrt(1 / done + 1 / left)
    return GaussianForecast(np.array([incumbent.mean() + difference.mean()]), np.array([spread]))


class Race:
    """What a study's candidates have brought so far, image for image, and whether one is worth its remaining images.

    Args:
        reference: of the hypervolume.
        images: of a whole evaluation.
        least: how much a candidate's expected gain of hypervolume for each remaining image must be, as a share of what
            the latest candidates have brought for each of theirs; 0 stops none.
    """

    def __init__(self, reference: Reference, images: int, least: float) -> None:
        self._reference, self._images, self._least = reference, images, least
        self._rewards: list[float] = []
        self._costs: list[float] = []
        self._scores: list[Floats] = []
        self._gains: deque[tuple[float, int]] = deque(maxlen=_LATEST)

    def add(self, cost: float, scores: Floats, *, bred: bool) -> None:
        """Note an evaluated candidate.

        Args:
            cost: of the candidate.
            scores: ``(prompts, k)``; of fewer than all seeds where its evaluation was stopped.
            bred: whether it counts for what candidates bring: seeds bring much more.
        """
        before = self._hypervolume()
        if scores.size == self._images:
            self._rewards.append(float(scores.mean()))
            self._costs.append(cost)
            self._scores.append(scores)
        if bred:
            self._gains.append((self._hypervolume() - before, scores.size))

    def goes_on(self, cost: float, scores: Floats) -> bool:
        """Whether a candidate should get more images.

        Args:
            cost: of the candidate.
            scores: ``(prompts, k)`` on the first ``k`` seeds.
        """
        left = self._images - scores.size
        rivals = [number for number, other in enumerate(self._costs) if other <= cost]
        if not left or not rivals or len(self._gains) < _FEWEST or scores.size < 2:
            return True
        best = max(rivals, key=self._rewards.__getitem__)
        front = staircase(self._rewards, self._costs, self._reference)
        gain = float(expected_hypervolume_gain(forecast(scores, self._scores[best]), [cost], front)[0])
        brought, images = map(sum, zip(*self._gains, strict=True))
        return gain / left >= self._least * brought / images

    def _hypervolume(self) -> float:
        return hypervolume(self._rewards, self._costs, self._reference)
