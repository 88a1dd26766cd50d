"""Candidates that may violate constraints: what they bring counts by the probability that they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrogate.forecast import DropForecast, GaussianForecast

__all__ = ["ConstrainedForecast", "probability_above"]

Floats = NDArray[np.float64]


def probability_above(forecast: DropForecast | GaussianForecast, level: float) -> Floats:
    """``(n,)``: the probability that each reward is at least a level."""
    from scipy.special import ndtr

    if isinstance(forecast, GaussianForecast):
        above: Floats = ndtr((forecast.reward - level) / np.maximum(forecast.std, 1e-12))
        return above
    bound = forecast.scale.of(np.array([level]))
    probability: Floats = ndtr((bound - forecast.log_drop) / np.maximum(forecast.log_std, 1e-9))
    return probability


@dataclass(frozen=True, eq=False)
class ConstrainedForecast:
    """Rewards of candidates that count only if they are feasible: constrained expected improvement.

    Gardner et al. 2014 (equation 5): for a constraint that is independent of the reward given what is known, the
    expected improvement is multiplied by the probability of feasibility.

    Args:
        forecast: of the rewards of ``n`` candidates.
        feasible: ``(n,)`` probabilities.
    """

    forecast: DropForecast | GaussianForecast
    feasible: Floats

    @property
    def reward(self) -> Floats:
        """See :class:`~surrogate.forecast.Forecast`."""
        return self.forecast.reward

    @property
    def std(self) -> Floats:
        """See :class:`~surrogate.forecast.Forecast`."""
        return self.forecast.std

    def optimistic(self) -> Floats:
        """See :class:`~surrogate.forecast.Forecast`."""
        return self.forecast.optimistic()

    def subset(self, chosen: NDArray[np.intp]) -> ConstrainedForecast:
        """The forecast of some of the candidates."""
        return ConstrainedForecast(self.forecast.subset(chosen), self.feasible[chosen])

    def improvement(self, levels: Floats) -> Floats:
        """See :class:`~surrogate.forecast.Forecast`."""
        improvement: Floats = self.forecast.improvement(levels) * self.feasible[:, None]
        return improvement
