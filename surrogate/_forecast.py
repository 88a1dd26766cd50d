"""What is expected of candidates: distributions of their rewards, and how far these reach above a level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from surrogate._scales import LOSS, LossScale

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """Rewards of ``n`` candidates whose errors are Gaussian on a scale of losses.

    Args:
        loss: ``(n,)`` means.
        loss_std: ``(n,)`` standard deviations, not negative; 0 means certainty.
        scale: from rewards to losses; by default a loss is the reward with its sign changed.
    """

    loss: Floats
    loss_std: Floats
    scale: LossScale = LOSS

    @classmethod
    def of_rewards(cls, reward: Floats, std: Floats, scale: LossScale = LOSS) -> Forecast:
        """From ``(n,)`` medians and standard deviations of rewards, as :attr:`reward` and :attr:`std` give them."""
        loss = scale.of(reward)
        return cls(loss, std / scale.slope(loss), scale)

    @property
    def reward(self) -> Floats:
        """``(n,)``: the median of each."""
        return self.scale.reward(self.loss)

    @property
    def std(self) -> Floats:
        """``(n,)``: standard deviations, or what comes next to it around the median."""
        return self.scale.slope(self.loss) * self.loss_std

    def optimistic(self) -> Floats:
        """``(n,)``: the reward one standard deviation above the median."""
        return self.scale.reward(self.loss - self.loss_std)

    def improvement(self, levels: Floats) -> Floats:
        """``(n, k)``: the means of ``max(0, reward - level)`` over ``(k,)`` levels."""
        return self.scale.improvement(self.scale.of(levels), self.loss[:, None], self.loss_std[:, None])

    def probability_above(self, level: float) -> Floats:
        """``(n,)``: the probability that each reward is at least a level."""
        from scipy.special import ndtr

        bound = self.scale.of(np.array([level]))
        probability: Floats = ndtr((bound - self.loss) / np.maximum(self.loss_std, 1e-12))
        return probability

    def subset(self, chosen: NDArray[np.intp]) -> Forecast:
        """The forecast of some of the candidates."""
        return replace(self, loss=self.loss[chosen], loss_std=self.loss_std[chosen])

    def joined(self, other: Forecast) -> Forecast:
        """The forecast of these and other candidates, on the same scale."""
        loss, loss_std = np.append(self.loss, other.loss), np.append(self.loss_std, other.loss_std)
        return replace(self, loss=loss, loss_std=loss_std)

    def stretched(self, factor: float) -> Forecast:
        """The forecast with standard deviations so many times as large."""
        return replace(self, loss_std=factor * self.loss_std)
