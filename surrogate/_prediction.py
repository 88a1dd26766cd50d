"""What is expected of candidates: distributions of rewards, whose errors are Gaussian on a scale of losses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Added to a drop before the logarithm is taken: smaller drops are alike.
_OFFSET = 0.01
#: Least value whose logarithm is taken; rewards well above the uncached one end up here.
_LEAST = 0.25 * _OFFSET
#: The largest drop to predict.
_DEEPEST = 1e3


@dataclass(frozen=True)
class LossScale:
    """From rewards to losses and back: here, for rewards whose own errors are Gaussian, with their sign changed."""

    def of(self, rewards: Floats) -> Floats:
        """Losses of rewards."""
        return -rewards

    def reward(self, loss: Floats) -> Floats:
        """Rewards of losses: the inverse of :meth:`of`."""
        return -loss

    def slope(self, loss: Floats) -> Floats | float:
        """Reward lost per unit of loss: turns an error on one scale into one on the other."""
        del loss
        return 1.0

    def improvement(self, level: Floats, mean: Floats, std: Floats) -> Floats:
        """The mean of how far the reward is above a level, of Gaussian losses.

        It is the expected improvement of Jones, Schonlau and Welch (1998, equation 15). With ``z = (level - mean) /
        std`` it is ``(level - mean) * Phi(z) + std * phi(z)``, where ``Phi`` and ``phi`` are the distribution and the
        density of the standard normal.

        Args:
            level: loss of the level; this and the others are of shapes that fit together.
            mean: of the loss.
            std: of the loss, not negative.
        """
        from scipy.special import ndtr

        above = level - mean
        z = above / np.maximum(std, np.finfo(np.float64).tiny ** 0.5)
        density = np.exp(-0.5 * np.minimum(np.abs(z), 40.0) ** 2) / np.sqrt(2 * np.pi)
        improvement: Floats = np.maximum(above * ndtr(z) + std * density, 0.0)
        return improvement


LOSS = LossScale()


@dataclass(frozen=True)
class LogDrop(LossScale):
    """``log((uncached - reward) / spread + 0.01)``: errors of cheap and of dear schedules are of one size here.

    Between twofold and tenfold speedup drops grow a hundredfold, and so do the errors of any model of them. An error in
    the drop of a poor candidate is large, but never so large that the candidate would be a good one, as it could be
    with Gaussian errors of the reward.

    Args:
        uncached: reward of the uncached run.
        spread: the unit of the drops, not negative: the range of the rewards of interest.
    """

    uncached: float
    spread: float

    @property
    def unit(self) -> float:
        """The unit of the drops, above 0 even where there is no spread."""
        return max(self.spread, 1e-9 * (1.0 + abs(self.uncached)))

    def of(self, rewards: Floats) -> Floats:
        """See :class:`LossScale`."""
        logarithms: Floats = np.log(np.maximum((self.uncached - rewards) / self.unit + _OFFSET, _LEAST))
        return logarithms

    def reward(self, loss: Floats) -> Floats:
        """See :class:`LossScale`."""
        rewards: Floats = self.uncached - self.unit * np.minimum(np.exp(loss) - _OFFSET, _DEEPEST)
        return rewards

    def slope(self, loss: Floats) -> Floats:
        """See :class:`LossScale`."""
        return self.unit * np.minimum(np.exp(loss), _DEEPEST + _OFFSET)


@dataclass(frozen=True, eq=False)
class Prediction:
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
    def of_rewards(cls, reward: Floats, std: Floats, scale: LossScale = LOSS) -> Prediction:
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

    def subset(self, chosen: NDArray[np.intp]) -> Prediction:
        """The prediction of some of the candidates."""
        return replace(self, loss=self.loss[chosen], loss_std=self.loss_std[chosen])

    def joined(self, other: Prediction) -> Prediction:
        """The prediction of these and other candidates, on the same scale."""
        loss, loss_std = np.append(self.loss, other.loss), np.append(self.loss_std, other.loss_std)
        return replace(self, loss=loss, loss_std=loss_std)

    def stretched(self, factor: float) -> Prediction:
        """The prediction with standard deviations so many times as large."""
        return replace(self, loss_std=factor * self.loss_std)
