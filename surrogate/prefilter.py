"""Which candidates of a pool to evaluate: those that promise the largest gain of hypervolume."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate.forecast import Forecast
from surrogate.hypervolume import Floats, Reference, Staircase, staircase

__all__ = ["choose_batch", "expected_hypervolume_gain"]


def expected_hypervolume_gain(forecast: Forecast, cost: ArrayLike, front: Staircase) -> Floats:
    """Expected area that each candidate, alone, adds to a front; exact for a known cost.

    The gain of a candidate of reward ``R`` and cost ``c`` is the integral of ``max(0, R - front(x))`` over the costs
    ``x`` from ``c`` to the reference. The front is a step function, so the gain is piecewise linear in ``R``, and its
    expectation is the sum over steps of (width of the step above ``c``) * (expected improvement over its level).

    Args:
        forecast: of ``n`` candidates.
        cost: ``(n,)`` exact costs.
        front: what is known already.

    Returns:
        ``(n,)``, not negative.
    """
    gain: Floats = (front.widths(cost) * forecast.improvement(front.levels)).sum(axis=1)
    return gain


def choose_batch(
    forecast: Forecast,
    cost: ArrayLike,
    front_reward: ArrayLike,
    front_cost: ArrayLike,
    reference: Reference,
    count: int,
) -> NDArray[np.intp]:
    """Candidates of the largest expected hypervolume gain, picked one after another.

    Each pick joins the front with a reward one standard deviation above what is expected of it, so that the next one
    looks elsewhere along the cost axis: after the "kriging believer" of Ginsbourger, Le Riche and Carraro (2010), who
    believe in the mean. Where no gain is left to expect, the candidates that come closest to the front follow.

    Args:
        forecast: of ``n`` candidates.
        cost: ``(n,)`` exact costs.
        front_reward: ``(k,)`` rewards of what is known already, and
        front_cost: ``(k,)`` its costs.
        reference: of the hypervolume.
        count: how many are wanted.

    Returns:
        ``(min(count, n),)`` indices, best first.
    """
    means, optimistic = forecast.reward, forecast.optimistic()
    costs = np.asarray(cost, dtype=np.float64)
    rewards, known = list(np.ravel(front_reward)), list(np.ravel(front_cost))
    free = np.ones(len(means), dtype=np.bool_)
    picks: list[int] = []
    for _ in range(min(count, len(means))):
        front = staircase(rewards, known, reference)
        gain = expected_hypervolume_gain(forecast, costs, front)
        if gain[free].max() <= 0.0:
            gain = means - front.level_at(costs)
        pick = int(np.argmax(np.where(free, gain, -np.inf)))
        free[pick] = False
        picks.append(pick)
        rewards.append(optimistic[pick])
        known.append(costs[pick])
    return np.array(picks, dtype=np.intp)
