"""What is expected of candidates: distributions of their rewards, and how far these reach above a level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from surrogate.drop import LogDrop

__all__ = ["DropForecast", "Forecast", "GaussianForecast"]

Floats = NDArray[np.float64]


class Forecast(Protocol):
    """Distributions of the rewards of ``n`` candidates."""

    @property
    def reward(self) -> Floats:
        """``(n,)``: the median of each."""
        ...

    @property
    def std(self) -> Floats:
        """``(n,)``: standard deviations, or what comes next to it around the median."""
        ...

    def optimistic(self) -> Floats:
        """``(n,)``: the reward one standard deviation above the median."""
        ...

    def improvement(self, levels: Floats) -> Floats:
        """``(n, k)``: the means of ``max(0, reward - level)`` over ``(k,)`` levels."""
        ...

    def probability_above(self, level: float) -> Floats:
        """``(n,)``: the probability that each reward is at least a level."""
        ...

    def subset(self, chosen: NDArray[np.intp]) -> Self:
        """The forecast of some of the candidates."""
        ...

    def joined(self, other: Self) -> Self:
        """The forecast of these and other candidates."""
        ...

    def stretched(self, factor: float) -> Self:
        """The forecast with standard deviations so many times as large."""
        ...


@dataclass(frozen=True, eq=False)
class GaussianForecast:
    """Rewards with Gaussian errors.

    Args:
        reward: ``(n,)``.
        std: ``(n,)``, not negative; 0 means certainty.
    """

    reward: Floats
    std: Floats

    def optimistic(self) -> Floats:
        """See :class:`Forecast`."""
        return self.reward + self.std

    def probability_above(self, level: float) -> Floats:
        """See :class:`Forecast`."""
        from scipy.special import ndtr

        probability: Floats = ndtr((self.reward - level) / np.maximum(self.std, 1e-12))
        return probability

    def subset(self, chosen: NDArray[np.intp]) -> GaussianForecast:
        """See :class:`Forecast`."""
        return GaussianForecast(self.reward[chosen], self.std[chosen])

    def joined(self, other: GaussianForecast) -> GaussianForecast:
        """See :class:`Forecast`."""
        return GaussianForecast(np.append(self.reward, other.reward), np.append(self.std, other.std))

    def stretched(self, factor: float) -> GaussianForecast:
        """See :class:`Forecast`."""
        return GaussianForecast(self.reward, factor * self.std)

    def improvement(self, levels: Floats) -> Floats:
        """Expected improvement (Jones, Schonlau and Welch 1998, equation 15).

        With ``z = (mean - level) / std`` it is ``(mean - level) * Phi(z) + std * phi(z)``, where ``Phi`` and ``phi``
        are the distribution and the density of the standard normal.
        """
        from scipy.special import ndtr

        above, std = self.reward[:, None] - levels, self.std[:, None]
        z = above / np.maximum(std, np.finfo(np.float64).tiny ** 0.5)
        density = np.exp(-0.5 * np.minimum(np.abs(z), 40.0) ** 2) / np.sqrt(2 * np.pi)
        improvement: Floats = np.maximum(above * ndtr(z) + std * density, 0.0)
        return improvement


@dataclass(frozen=True, eq=False)
class DropForecast:
    """Rewards whose log drops have Gaussian errors, so that drops are lognormal, up to an offset.

    An error in the drop of a poor candidate is large, but never so large that the candidate would be a good one, as it
    could be with Gaussian errors of the reward.

    Args:
        scale: from rewards to log drops.
        log_drop: ``(n,)`` means.
        log_std: ``(n,)`` standard deviations, not negative.
    """

    scale: LogDrop
    log_drop: Floats
    log_std: Floats

    @classmethod
    def from_rewards(cls, scale: LogDrop, reward: Floats, std: Floats) -> DropForecast:
        """From ``(n,)`` medians and standard deviations of rewards, as :attr:`reward` and :attr:`std` gave them."""
        log_drop = scale.of(reward)
        return cls(scale, log_drop, std / scale.slope(log_drop))

    @property
    def reward(self) -> Floats:
        """See :class:`Forecast`."""
        return self.scale.reward(self.log_drop)

    @property
    def std(self) -> Floats:
        """See :class:`Forecast`."""
        std: Floats = self.scale.slope(self.log_drop) * self.log_std
        return std

    def optimistic(self) -> Floats:
        """See :class:`Forecast`."""
        return self.scale.reward(self.log_drop - self.log_std)

    def probability_above(self, level: float) -> Floats:
        """See :class:`Forecast`."""
        from scipy.special import ndtr

        bound = self.scale.of(np.array([level]))
        probability: Floats = ndtr((bound - self.log_drop) / np.maximum(self.log_std, 1e-9))
        return probability

    def subset(self, chosen: NDArray[np.intp]) -> DropForecast:
        """See :class:`Forecast`."""
        return DropForecast(self.scale, self.log_drop[chosen], self.log_std[chosen])

    def joined(self, other: DropForecast) -> DropForecast:
        """See :class:`Forecast`."""
        log_drop, log_std = np.append(self.log_drop, other.log_drop), np.append(self.log_std, other.log_std)
        return DropForecast(self.scale, log_drop, log_std)

    def stretched(self, factor: float) -> DropForecast:
        """See :class:`Forecast`."""
        return DropForecast(self.scale, self.log_drop, factor * self.log_std)

    def improvement(self, levels: Floats) -> Floats:
        """As the price of a put option (Black and Scholes 1973): the mean of ``max(0, K - X)`` for a lognormal ``X``.

        With ``z = (log K - m) / s`` it is ``K * Phi(z) - exp(m + s^2 / 2) * Phi(z - s)``, where ``m`` and ``s`` are
        mean and standard deviation of ``log X``.
        """
        from scipy.special import log_ndtr, ndtr

        strike = self.scale.of(levels)  # the log drop that has the reward of the level
        mean, std = self.log_drop[:, None], np.maximum(self.log_std[:, None], 1e-9)
        z = (strike - mean) / std
        # As logarithms, since the mean of a very uncertain drop overflows where the chance to be below is next to none.
        expected = np.exp(mean + 0.5 * std**2 + log_ndtr(z - std))
        improvement: Floats = self.scale.unit * np.maximum(np.exp(strike) * ndtr(z) - expected, 0.0)
        return improvement
