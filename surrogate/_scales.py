"""The scales on which errors of predictions are Gaussian: rewards become losses, which are the lower the better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Added to a drop before the logarithm is taken: smaller drops are alike.
_OFFSET = 0.03
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
    """``log((uncached - reward) / spread + 0.03)``: errors of cheap and of dear schedules are of one size here.

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

    def improvement(self, level: Floats, mean: Floats, std: Floats) -> Floats:
        """As the price of a put option (Black and Scholes 1973): the mean of ``max(0, K - X)`` for a lognormal ``X``.

        With ``z = (log K - m) / s`` it is ``K * Phi(z) - exp(m + s^2 / 2) * Phi(z - s)``, where ``m`` and ``s`` are
        mean and standard deviation of ``log X``.
        """
        from scipy.special import log_ndtr, ndtr

        std = np.maximum(std, 1e-9)
        z = (level - mean) / std
        # As logarithms, since the mean of a very uncertain drop overflows where the chance to be below is next to none.
        expected = np.exp(mean + 0.5 * std**2 + log_ndtr(z - std))
        improvement: Floats = self.unit * np.maximum(np.exp(level) * ndtr(z) - expected, 0.0)
        return improvement
