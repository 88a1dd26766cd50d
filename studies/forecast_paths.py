"""Which steps to compute where what is not computed is forecast from the last two computed outputs.

The error of a use depends on both steps that it is forecast from, so the state of the dynamic program is the last two
computed steps (as in DPCache, arXiv 2602.22654, there for whole steps alone).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Errors = NDArray[np.float32] | NDArray[np.float64]


def best_paths(error: Errors) -> tuple[Floats, Bits]:
    """For each number of computed steps those of least summed error, exactly.

    Args:
        error: ``(n, steps, steps, steps)``, not negative: of ``n`` problems that of a use at step ``t`` of what was
            computed last at ``s1`` and before that at ``s0``, at ``[:, t, s1, s0]``; at ``s1 == s0 == 0`` where only
            the first step was computed.

    Returns:
        ``(n, steps)``: the least error with 1 computed step, with 2 and so on to all; and ``(n, steps, steps)`` bool,
        the steps to compute for each. The first step is always computed.
    """
    count, steps = error.shape[:2]
    spans = _spans(error)
    # least[:, k, s0, s1]: of all that happens before s1, with k + 1 steps computed of which s0 and s1 are the last two;
    # s1 may be the end, which is none of them. came_from: the computed step before s0.
    least = np.full((count, steps, steps, steps + 1), np.inf, dtype=error.dtype)
    came_from = np.zeros(least.shape, dtype=np.int16)
    least[:, 0, 0, 0] = 0.0
    for last in range(steps):
        before, some = slice(0, max(last, 1)), slice(0, last + 1)  # no more steps than there were can be computed
        through = least[:, some, before, last, None] + spans[:, None, before, last, last + 1 :]
        origin = through.argmin(axis=2)
        best = np.take_along_axis(through, origin[:, :, None], axis=2)[:, :, 0]
        if last + 1 < steps:
            least[:, 1 : last + 2, last, last + 1 : steps] = best[..., :-1]
            came_from[:, 1 : last + 2, last, last + 1 : steps] = origin[..., :-1]
        least[:, some, last, steps], came_from[:, some, last, steps] = best[..., -1], origin[..., -1]
    ended = least[..., steps]
    return ended.min(axis=2).astype(np.float64), _traced(ended.argmin(axis=2), came_from)


def _spans(error: Errors) -> Errors:
    """``(n, s0, s1, end)``: errors summed over the steps from ``s1 + 1`` to ``end - 1``."""
    at_step = error.transpose(0, 3, 2, 1)
    later = np.tri(error.shape[1], k=-1, dtype=np.bool_).T
    summed = np.cumsum(np.where(later, at_step, 0), axis=3, dtype=error.dtype)
    return np.concatenate([np.zeros((*summed.shape[:3], 1), dtype=error.dtype), summed], axis=3)


def _traced(last: NDArray[np.intp], came_from: NDArray[np.int16]) -> Bits:
    """``(n, steps, steps)``: the paths that end with the ``(n, steps)`` last computed steps, by number of steps."""
    count, steps = last.shape
    chosen = np.zeros((count, steps, steps), dtype=np.bool_)
    problem, number = np.indices(last.shape)
    place, after = number.copy(), np.full_like(last, steps)
    while True:
        chosen[problem, number, last] = True
        if not last.any():
            return chosen
        before = came_from[problem, place, last, after].astype(np.intp)
        # The step before the last one is found at the same number of steps as the last one, from the end.
        place = place - ((last > 0) & (after < steps))
        last, after = np.where(last > 0, before, 0), np.where(last > 0, last, after)


def shared_out(least: Floats, prices: ArrayLike, targets: ArrayLike) -> NDArray[np.intp]:
    """How many steps each of several problems computes, so that errors sum to the least for what they cost together.

    Only what lies on the lower convex hull of error over computed steps is taken of each, so that a sum of any cost is
    had by going down the steepest slopes first: the optimum at every price, and nearly so between them.

    Args:
        least: ``(n, steps)``, see :func:`best_paths`.
        prices: ``(n,)``: of one computed step of each, positive.
        targets: ``(k,)`` costs of all together.

    Returns:
        ``(k, n)`` numbers of computed steps, from 1, which cost as near the targets as slopes allow.
    """
    price = np.asarray(prices, dtype=np.float64)
    slopes: list[tuple[float, int, int]] = []  # gain for the price, problem, steps
    for problem, row in enumerate(least):
        for start, end in pairwise(_hull(row)):
            gain = (row[start] - row[end]) / ((end - start) * price[problem])
            slopes.append((-gain, problem, end - start))
    slopes.sort()
    problems = np.array([problem for _, problem, _ in slopes], dtype=np.intp)
    added = np.array([added for _, _, added in slopes], dtype=np.intp)
    spent = price.sum() + np.concatenate([[0.0], np.cumsum(added * price[problems])])
    found = np.ones((len(np.atleast_1d(targets)), len(price)), dtype=np.intp)
    for row, target in zip(found, np.atleast_1d(targets), strict=True):
        taken = int(np.abs(spent - target).argmin())
        np.add.at(row, problems[:taken], added[:taken])
    return found


def _hull(values: Floats) -> list[int]:
    """The corners of the lower convex hull of values at 0, 1 and so on, as far as they fall."""
    corners: list[int] = []
    for index in range(int(values.argmin()) + 1):
        while len(corners) > 1:
            first, second = corners[-2:]
            if (values[second] - values[first]) * (index - first) < (values[index] - values[first]) * (second - first):
                break
            corners.pop()
        corners.append(index)
    return corners
