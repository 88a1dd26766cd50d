"""Normalized hypervolume: one number for a whole front, comparable between searches of one study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from surrogate import Reference, hypervolume

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """What rewards and costs are measured against.

    Args:
        uncached_reward: mean reward of the uncached run.
        floor_reward: mean reward of the schedule that computes its first step only.
        full_cost: cost of the uncached run.
    """

    uncached_reward: float
    floor_reward: float
    full_cost: float

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
        span = self.uncached_reward - self.floor_reward
        area = hypervolume(np.asarray(reward, dtype=np.float64), np.asarray(cost, dtype=np.float64), self.reference)
        return float(area / (self.full_cost * (span if span > 0 else 1.0)))
