"""Hypervolume of two objectives, and which candidates of a pool are expected to add most to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate._prediction import Prediction
from surrogate.pareto import non_dominated

Floats = NDArray[np.float64]


class Reference(NamedTuple):
    """The point that bounds the hypervolume: only higher rewards at lower costs count.

    Args:
        reward: the worst reward of interest.
        cost: the highest cost of interest, in the unit of the candidates' costs.
    """

    reward: float
    cost: float


class Staircase(NamedTuple):
    """The best reward known up to each cost, as a step function.

    Between ``edges[k]`` and ``edges[k + 1]`` it is ``levels[k]``. The first edge is minus infinity, the last is the
    reference cost; the first level is the reference reward.

    Args:
        edges: ``(k + 2,)`` costs, ascending.
        levels: ``(k + 1,)`` rewards, ascending.
    """

    edges: Floats
    levels: Floats

    def widths(self, cost: ArrayLike) -> Floats:
        """``(n, k + 1)``: how much of each step lies at or above each of ``(n,)`` costs, and so is dominated there."""
        lower = np.maximum(np.asarray(cost, dtype=np.float64)[:, None], self.edges[:-1])
        return np.maximum(self.edges[1:] - lower, 0.0)

    def level_at(self, cost: ArrayLike) -> Floats:
        """``(n,)``: the best reward known at each of ``(n,)`` costs."""
        levels: Floats = self.levels[np.searchsorted(self.edges[1:-1], np.asarray(cost, dtype=np.float64), "right")]
        return levels


def reference_of(reward: ArrayLike, cost: ArrayLike, margin: float = 0.1) -> Reference:
    """A reference where nobody has given one: a little worse than the worst point of the front in each objective.

    The margin is a share of the front's extent, as in BoTorch's ``infer_reference_point`` (after Ishibuchi et al. 2011
    and 2018); in an objective where the front has no extent, of that of all points, and 1 where these have none.

    Args:
        reward: ``(n,)`` finite, higher is better; at least one.
        cost: ``(n,)`` finite, lower is better.
        margin: share of the extent.
    """
    rewards, costs = np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    front = non_dominated(rewards, costs)
    extents = [float(np.ptp(values[front]) or np.ptp(values) or 1.0) for values in (rewards, costs)]
    return Reference(
        float(rewards[front].min()) - margin * extents[0],
        float(costs[front].max()) + margin * extents[1],
    )


def staircase(reward: ArrayLike, cost: ArrayLike, reference: Reference) -> Staircase:
    """The step function of the best reward up to each cost. Points that do not beat the reference are left out.

    Args:
        reward: ``(n,)`` finite, higher is better; any points, dominated ones included, or none.
        cost: ``(n,)`` finite, lower is better.
        reference: see :class:`Reference`.
    """
    rewards, costs = np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    inside = (rewards > reference.reward) & (costs < reference.cost)
    rewards, costs = rewards[inside], costs[inside]
    front = non_dominated(rewards, costs)
    edges, first = np.unique(costs[front], return_index=True)
    return Staircase(
        edges=np.concatenate([[-np.inf], edges, [reference.cost]]),
        levels=np.concatenate([[reference.reward], rewards[front][first]]),
    )


def hypervolume(reward: ArrayLike, cost: ArrayLike, reference: Reference) -> float:
    """The area that the points dominate within the reference.

    Args:
        reward: ``(n,)`` finite, higher is better.
        cost: ``(n,)`` finite, lower is better.
        reference: see :class:`Reference`.

    Returns:
        The area, in units of reward times cost; 0 where no point beats the reference.
    """
    steps = staircase(reward, cost, reference)
    return float((steps.levels[1:] - reference.reward) @ np.diff(steps.edges[1:]))


def hypervolume_improvement(reward: ArrayLike, cost: ArrayLike, front: Staircase) -> Floats:
    """How much area each candidate, alone, would add to a front.

    A candidate of reward ``r`` and cost ``c`` adds the integral of ``max(0, r - front(x))`` over the costs ``x`` from
    ``c`` to the reference.

    Args:
        reward: ``(n,)`` of the candidates.
        cost: ``(n,)`` of the candidates.
        front: what is known already.

    Returns:
        ``(n,)``, not negative.
    """
    above = np.maximum(np.asarray(reward, dtype=np.float64)[:, None] - front.levels, 0.0)
    gain: Floats = (front.widths(cost) * above).sum(axis=1)
    return gain


def expected_hypervolume_improvement(prediction: Prediction, cost: ArrayLike | Prediction, front: Staircase) -> Floats:
    """Expected area that each candidate, alone, adds to a front; exact, for a known cost and for an uncertain one.

    The improvement by a candidate of reward ``R`` and cost ``C`` is the integral of ``max(0, R - front(x))`` over the
    costs ``x`` from ``C`` to the reference. The front is a step function, so it is a sum over its steps of (width of
    the step above ``C``) * (reward above its level). Both factors are piecewise linear, and where reward and cost are
    independent given what is known, the expectation of each product is that of (expected width) * (expected
    improvement over the level).

    Args:
        prediction: of the rewards of ``n`` candidates.
        cost: ``(n,)`` exact costs, or a prediction of them.
        front: what is known already.

    Returns:
        ``(n,)``, not negative.
    """
    widths = _expected_widths(cost, front) if isinstance(cost, Prediction) else front.widths(cost)
    improvement: Floats = (widths * prediction.improvement(front.levels)).sum(axis=1)
    return improvement


def _expected_widths(cost: Prediction, front: Staircase) -> Floats:
    """``(n, k + 1)``: of the step from ``a`` to ``b``, that is ``E max(0, b - C) - E max(0, a - C)``."""
    # A cost below an edge is a negated cost above the negated edge.
    below = Prediction.of_rewards(-cost.reward, cost.std).improvement(-front.edges[1:])
    return np.maximum(np.diff(below, axis=1, prepend=0.0), 0.0)


def choose_batch(
    prediction: Prediction,
    cost: ArrayLike | Prediction,
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
        prediction: of ``n`` candidates.
        cost: ``(n,)`` exact costs, or a prediction of them.
        front_reward: ``(k,)`` rewards of what is known already, and
        front_cost: ``(k,)`` its costs.
        reference: of the hypervolume.
        count: how many are wanted.
        feasible: ``(n,)`` probabilities that the candidates meet all constraints, by which their improvements are
            multiplied: constrained expected improvement (Gardner et al. 2014, equation 5).

    Returns:
        ``(min(count, n),)`` indices, best first.
    """
    means, optimistic = prediction.reward, prediction.optimistic()
    uncertain = cost if isinstance(cost, Prediction) else None
    costs = np.asarray(cost, dtype=np.float64) if uncertain is None else uncertain.reward
    cheapest = costs if uncertain is None else costs - uncertain.std
    rewards, known = list(np.ravel(front_reward)), list(np.ravel(front_cost))
    free = np.ones(len(means), dtype=np.bool_)
    picks: list[int] = []
    for _ in range(min(count, len(means))):
        front = staircase(rewards, known, reference)
        merit = (
            expected_hypervolume_improvement(prediction, costs if uncertain is None else uncertain, front) * feasible
        )
        if merit[free].max() <= 0.0:
            merit = means - front.level_at(costs)
        pick = int(np.argmax(np.where(free, merit, -np.inf)))
        free[pick] = False
        picks.append(pick)
        rewards.append(optimistic[pick])
        known.append(cheapest[pick])
    return np.array(picks, dtype=np.intp)
