"""Normalized hypervolume: one number for a whole front, comparable between searches of one study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate import GrowingFront, Reference, hypervolume


def worst_of_interest(uncached: float, shorter: Iterable[float], worst: float) -> float:
    """The reward below which a schedule is of no interest, however cheap.

    Args:
        uncached: reward of the uncached run.
        shorter: rewards of uncached runs of fewer steps: what one could do without any caching.
        worst: what to take where fewer steps do no harm, or there are none.
    """
    least = min(shorter, default=uncached)
    return least if least < uncached else worst


@dataclass(frozen=True)
class Scale:
    """What rewards and costs are measured against.

    Args:
        uncached_reward: mean reward of the uncached run.
        floor_reward: the worst mean reward of interest, see :func:`worst_of_interest`.
        full_cost: cost of the uncached run.
    """

    uncached_reward: float
    floor_reward: float
    full_cost: float

    @property
    def span(self) -> float:
        """Drop from the uncached reward to the worst one of interest; 1 where there is none."""
        span = self.uncached_reward - self.floor_reward
        return span if span > 0 else 1.0

    @property
    def reference(self) -> Reference:
        """The worst point of interest: the floor's reward at the full cost."""
        return Reference(self.floor_reward, self.full_cost)

    def hypervolume(self, reward: ArrayLike, cost: ArrayLike) -> float:
        """Hypervolume over the reference, in units of (uncached minus floor reward) x full cost.

        1 is a schedule with the uncached reward at no cost. Above 1 it can only come by rewards above the uncached.

        Args:
            reward: ``(n,)`` mean rewards.
            cost: ``(n,)``, in the unit of the full cost.
        """
        area = hypervolume(np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64), self.reference)
        return float(area / (self.full_cost * self.span))


def hypervolume_curve(
    scale: Scale, rewards: Sequence[float], costs: Sequence[float], counts: Sequence[bool]
) -> NDArray[np.float64]:
    """``(n,)`` normalized hypervolume after each of ``n`` evaluations.

    It is computed anew where the front changes only, so that thousands take a moment.

    Args:
        scale: what it is measured from.
        rewards: ``n``, oldest first.
        costs: ``n``.
        counts: ``n``: whether an evaluation was whole and meets the constraints; others add nothing.
    """
    curve = np.zeros(len(rewards))
    front = GrowingFront()
    value = 0.0
    for index, (reward, cost, counted) in enumerate(zip(rewards, costs, counts, strict=True)):
        if counted and front.add(reward, cost):
            value = scale.hypervolume(front.rewards, front.costs)
        curve[index] = value
    return curve
