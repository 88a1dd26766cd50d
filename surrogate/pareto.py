"""The Pareto front of a reward to maximize and a cost to minimize, and the choice of a point on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError

Floats = NDArray[np.float64]


def non_dominated(reward: ArrayLike, cost: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other point dominates. Of equal points all are kept.

    Args:
        reward: ``(n,)`` finite, higher is better.
        cost: ``(n,)`` finite, lower is better.

    Returns:
        ``(n,)`` bool.
    """
    rewards, costs = np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    order = np.lexsort((-rewards, costs))
    sorted_rewards, sorted_costs = rewards[order], costs[order]
    start = np.searchsorted(sorted_costs, sorted_costs, "left")
    best = np.concatenate([[-np.inf], np.maximum.accumulate(sorted_rewards)])
    keep = (sorted_rewards == sorted_rewards[start]) & (sorted_rewards > best[start])
    mask = np.zeros(len(order), dtype=np.bool_)
    mask[order] = keep
    return mask


def pareto_front(reward: ArrayLike, cost: ArrayLike) -> NDArray[np.intp]:
    """The non-dominated points from the cheapest to the dearest, so from the lowest reward to the highest.

    Args:
        reward: ``(n,)`` finite, higher is better.
        cost: ``(n,)`` finite, lower is better.

    Returns:
        Their indices; of equal points the first.
    """
    rewards, costs = np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    order = np.lexsort((-rewards, costs))
    best = np.concatenate([[-np.inf], np.maximum.accumulate(rewards[order])])
    return order[rewards[order] > best[:-1]]


class GrowingFront:
    """A front to which points are added one after another; of equal points the first stays.

    Attributes:
        rewards: of the points of the front, in the order in which they came.
        costs: of the same points.
    """

    def __init__(self) -> None:
        self.rewards: list[float] = []
        self.costs: list[float] = []

    def add(self, reward: float, cost: float) -> bool:
        """Take a point, and drop those that it dominates.

        Returns:
            Whether it is of the front; False where another point is as good.
        """
        points = list(zip(self.rewards, self.costs, strict=True))
        if any(r >= reward and c <= cost for r, c in points):
            return False
        kept = [(r, c) for r, c in points if not (reward >= r and cost <= c)]
        self.rewards, self.costs = map(list, zip(*kept, (reward, cost), strict=True))
        return True


def most_reward_at_speedup(reward: ArrayLike, cost: ArrayLike, full_cost: float, speedup: float) -> int:
    """The point of the highest reward among those that are at least so many times cheaper than the uncached run.

    Args:
        reward: ``(n,)``.
        cost: ``(n,)`` above 0.
        full_cost: of the uncached run.
        speedup: wanted ratio of costs, above 0.

    Returns:
        Its index; of points of one reward that of the cheapest.

    Raises:
        StudyError: no point is that cheap, or there is none.
    """
    rewards, costs = _some(reward, cost)
    if not speedup > 0:
        raise StudyError(f"A speedup of {speedup:g} was asked for, but it must be above 0, such as 2.")
    # A schedule of exactly the wanted cost must not be lost to rounding.
    fitting = np.flatnonzero(costs * speedup <= full_cost * (1 + 1e-9))
    if not len(fitting):
        raise StudyError(
            f"No schedule found is {speedup:g} times cheaper than the uncached run; the cheapest is "
            f"{full_cost / costs.min():.2f} times, so ask for less or search on."
        )
    return int(fitting[np.lexsort((costs[fitting], -rewards[fitting]))[0]])


def cheapest_within_drop(reward: ArrayLike, cost: ArrayLike, drop: ArrayLike, most: float) -> int:
    """The cheapest point that loses at most so much reward against the uncached run.

    Args:
        reward: ``(n,)``.
        cost: ``(n,)``.
        drop: ``(n,)`` mean paired losses of reward.
        most: largest accepted one.

    Returns:
        Its index; of points of one cost that of the highest reward.

    Raises:
        StudyError: every point loses more, or there is none.
    """
    rewards, costs = _some(reward, cost)
    drops = np.asarray(drop, dtype=np.float64)
    fitting = np.flatnonzero(drops <= most)
    if not len(fitting):
        raise StudyError(
            f"No schedule found loses at most {most:g} of reward; the smallest loss is {drops.min():.4g}, so accept "
            "more or search on."
        )
    return int(fitting[np.lexsort((-rewards[fitting], costs[fitting]))[0]])


def knee(reward: ArrayLike, cost: ArrayLike) -> int:
    """The point where the front bends most: furthest above the chord between its ends, both axes scaled to [0, 1].

    Args:
        reward: ``(n,)`` of a front in any order.
        cost: ``(n,)``.

    Returns:
        Its index; that of the highest reward where none lies above the chord.

    Raises:
        StudyError: there is no point.
    """
    rewards, costs = _some(reward, cost)
    order = np.lexsort((costs, -rewards))
    rewards, costs = rewards[order], costs[order]
    if costs.min() == costs.max() or rewards[0] == rewards[-1]:
        return int(order[0])
    # On these axes the chord is the diagonal, and the distance above it is their difference over the square root of 2.
    up = (rewards - rewards[-1]) / (rewards[0] - rewards[-1])
    right = (costs - costs.min()) / (costs.max() - costs.min())
    return int(order[np.argmax(up - right)])


def _some(reward: ArrayLike, cost: ArrayLike) -> tuple[Floats, Floats]:
    rewards, costs = np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if not len(rewards):
        raise StudyError("The study has no evaluated schedule to choose from yet; search first.")
    return rewards, costs
