"""The surrogate: a trend and LightGBM on what it leaves, as an ensemble, predict the reward of schedules."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError
from surrogate.drop import LogDrop
from surrogate.ensemble import PARAMETERS, ROUNDS, Ensemble, fit_ensemble
from surrogate.features import Bits, FeatureContext, features_and_drift
from surrogate.forecast import DropForecast
from surrogate.trend import DriftTrend, Prior, fit_drift_trend

__all__ = ["FEWEST_SCHEDULES", "PARAMETERS", "ROUNDS", "Surrogate"]

Floats = NDArray[np.float64]

#: Fewer evaluated schedules than this teach a model nothing.
FEWEST_SCHEDULES = 8


class Surrogate:
    """Predicts rewards with their uncertainty.

    An ensemble, see :func:`~surrogate.ensemble.fit_ensemble`, whose trend is a curve of weighted drift. All of
    it happens on the scale of :class:`LogDrop`.

    Args:
        context: what is known of the transformer.
        seed: of the folds and of LightGBM; equal seeds and data give equal predictions.
        prior: what another study knows; None starts from equal weights.
        spread: drop of reward from the uncached run to the worst reward of interest; drops far below it are told apart,
            far larger ones hardly. The largest drop among the evaluated schedules if None.
    """

    def __init__(
        self, context: FeatureContext, seed: int = 0, prior: Prior | None = None, spread: float | None = None
    ) -> None:
        self._context = context
        self._unit = spread
        self._seed = seed
        self._center = prior.trend(context) if prior is not None else None
        self._scale = LogDrop(0.0, 0.0)
        self._ensemble: Ensemble | None = None

    def fit(self, compute: Bits, rewards: ArrayLike, weights: ArrayLike | None = None) -> Surrogate:
        """Learn from evaluated schedules.

        Args:
            compute: ``(n, steps, slots)`` effective bits; the one that computes most stands for the uncached run.
            rewards: ``(n,)`` finite.
            weights: ``(n,)``, from above 0 to 1: how much each of them counts, such as the share of images that its
                reward is the mean of; 1 for all if None.

        Returns:
            This surrogate.

        Raises:
            StudyError: there are fewer than ``FEWEST_SCHEDULES``, lengths differ, rewards are not finite, or a weight
                is out of range.
        """
        y = np.asarray(rewards, dtype=np.float64)
        weight = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
        if len(y) != len(compute) or len(y) < FEWEST_SCHEDULES:
            raise StudyError(
                f"The surrogate got {len(compute)} schedules and {len(y)} rewards; it needs as many of one as of the "
                f"other, and at least {FEWEST_SCHEDULES}."
            )
        if not np.isfinite(y).all():
            raise StudyError("The surrogate got rewards that are not finite; leave failed evaluations out.")
        if weight.shape != y.shape or not ((weight > 0) & (weight <= 1)).all():
            raise StudyError(f"The surrogate got weights {weight}; it needs {len(y)}, each above 0 and at most 1.")
        x, drift = self._inputs(compute)
        uncached = float(y[compute.sum(axis=(1, 2)).argmax()])
        self._scale = LogDrop(uncached, max(uncached - float(y.min()), 0.0) if self._unit is None else self._unit)
        target = self._scale.of(y)
        # The trends of the folds are close to that of all, so they are found from there in a few iterations.
        whole = fit_drift_trend(drift, target, weight, self._center)

        def fit_trend(seen: NDArray[np.bool_]) -> DriftTrend:
            return fit_drift_trend(drift[seen], target[seen], weight[seen], self._center, start=whole)

        self._ensemble = fit_ensemble(x, drift, target, weight, self._seed, fit_trend)
        return self

    def predict(self, compute: Bits) -> DropForecast:
        """Rewards to expect.

        Args:
            compute: ``(n, steps, slots)`` effective bits.

        Raises:
            StudyError: nothing was fitted yet.
        """
        if self._ensemble is None:
            raise StudyError("The surrogate cannot predict before it was fitted; call fit first.")
        return DropForecast(self._scale, *self._ensemble.predict(*self._inputs(compute)))

    def _inputs(self, compute: Bits) -> tuple[Floats, Floats]:
        return features_and_drift(compute, self._context)
