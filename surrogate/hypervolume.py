"""Exact hypervolume in two objectives: a reward to maximize and a cost to minimize."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
