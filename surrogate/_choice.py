"""Which candidates of a pool to evaluate: those with the largest expected hypervolume improvement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate._forecast import Forecast
from surrogate.hypervolume import Floats, Reference, Staircase, staircase


def expected_hypervolume_improvement(forecast: Forecast, cost: ArrayLike | Forecast, front: Staircase) -> Floats:
    """Expected area that each candidate, alone, adds to a front; exact, for a known cost and for an uncertain one.

    The improvement by a candidate of reward ``R`` and cost ``C`` is the integral of ``max(0, R - front(x))`` over the
    costs ``x`` from ``C`` to the reference. The front is a step function, so it is a sum over its steps of (width of
    the step above ``C``) * (reward above its level). Both factors are piecewise linear, and where reward and cost are
    independent given what is known, the expectation of each product is that of (expected width) * (expected
    improvement over the level).

    Args:
        forecast: of the rewards of ``n`` candidates.
        cost: ``(n,)`` exact costs, or a forecast of them.
        front: what is known already.

    Returns:
        ``(n,)``, not negative.
    """
    widths = _expected_widths(cost, front) if isinstance(cost, Forecast) else front.widths(cost)
    improvement: Floats = (widths * forecast.improvement(front.levels)).sum(axis=1)
    return improvement


def _expected_widths(cost: Forecast, front: Staircase) -> Floats:
    """``(n, k + 1)``: of the step from ``a`` to ``b``, that is ``E max(0, b - C) - E max(0, a - C)``."""
    # A cost below an edge is a negated cost above the negated edge.
    below = Forecast.of_rewards(-cost.reward, cost.std).improvement(-front.edges[1:])
    return np.maximum(np.diff(below, axis=1, prepend=0.0), 0.0)


def choose_batch(
    forecast: Forecast,
    cost: ArrayLike | Forecast,
    front_reward: ArrayLike,
    front_cost: ArrayLike,
    reference: Reference,
    count: int,
    feasible: Floats | float = 1.0,
) -> NDArray[np.intp]:
    """Candidates of the largest expected hypervolume improvement, picked one after another.

    Each pick joins the front with a reward one standard deviation above what is expected of it, so that the next one
    looks elsewhere along the cost axis: after the "kriging believer" of Ginsbourger, Le Riche and Carraro (2010), who
    believe in the mean. A cost that is not known joins with one standard deviation below. Where none is left to
    improve the front, those that come closest to it follow.

    Args:
        forecast: of ``n`` candidates.
        cost: ``(n,)`` exact costs, or a forecast of them.
        front_reward: ``(k,)`` rewards of what is known already, and
        front_cost: ``(k,)`` its costs.
        reference: of the hypervolume.
        count: how many are wanted.
        feasible: ``(n,)`` probabilities that the candidates meet all constraints, by which their improvements are
            multiplied: constrained expected improvement (Gardner et al. 2014, equation 5).

    Returns:
        ``(min(count, n),)`` indices, best first.
    """
    means, optimistic = forecast.reward, forecast.optimistic()
    uncertain = cost if isinstance(cost, Forecast) else None
    costs = np.asarray(cost, dtype=np.float64) if uncertain is None else uncertain.reward
    cheapest = costs if uncertain is None else costs - uncertain.std
    rewards, known = list(np.ravel(front_reward)), list(np.ravel(front_cost))
    free = np.ones(len(means), dtype=np.bool_)
    picks: list[int] = []
    for _ in range(min(count, len(means))):
        front = staircase(rewards, known, reference)
        merit = expected_hypervolume_improvement(forecast, costs if uncertain is None else uncertain, front) * feasible
        if merit[free].max() <= 0.0:
            merit = means - front.level_at(costs)
        pick = int(np.argmax(np.where(free, merit, -np.inf)))
        free[pick] = False
        picks.append(pick)
        rewards.append(optimistic[pick])
        known.append(cheapest[pick])
    return np.array(picks, dtype=np.intp)
