"""The surrogates: a trend and LightGBM on what it leaves, as an ensemble, of schedules or of any table of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError
from surrogate._prediction import LogDrop, Prediction
from surrogate._trend import DriftTrend, Prior, fit_drift_trend
from surrogate.ensemble import Ensemble
from surrogate.features import Bits, FeatureContext, computes, features_and_drift

Floats = NDArray[np.float64]

#: Fewer samples than this teach a model nothing.
FEWEST_SAMPLES = 8
#: Strengths of the penalty of a ridge, for standardized features, of which leave-one-out errors choose.
_PENALTIES = np.logspace(-1, 5, 13)


class Surrogate:
    """Predicts rewards of schedules with their uncertainty.

    An ensemble, see :class:`~surrogate.ensemble.Ensemble`, whose trend is a curve of weighted drift. All of it happens
    on the scale of :class:`LogDrop`.

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

    def fit(self, genes: Bits, rewards: ArrayLike, weights: ArrayLike | None = None) -> Surrogate:
        """Learn from evaluated schedules.

        Args:
            genes: ``(n, steps, columns)``, see :func:`~surrogate.features.features_and_drift`; the one that computes
                most stands for the uncached run.
            rewards: ``(n,)`` finite.
            weights: ``(n,)``, from above 0 to 1: how much each of them counts, such as the share of images that its
                reward is the mean of; 1 for all if None.

        Returns:
            This surrogate.

        Raises:
            StudyError: there are fewer than ``FEWEST_SAMPLES``, lengths differ, rewards are not finite, or a weight is
                out of range.
        """
        y = _checked(genes, rewards)
        weight = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
        if weight.shape != y.shape or not ((weight > 0) & (weight <= 1)).all():
            raise StudyError(f"The surrogate got weights {weight}; it needs {len(y)}, each above 0 and at most 1.")
        x, drift = features_and_drift(genes, self._context)
        uncached = float(y[computes(genes, self._context).argmax()])
        self._scale = LogDrop(uncached, max(uncached - float(y.min()), 0.0) if self._unit is None else self._unit)
        target = self._scale.of(y)
        # The trends of the folds are close to that of all, so they are found from there in a few iterations.
        whole = fit_drift_trend(drift, target, weight, self._center)

        def fit_trend(seen: NDArray[np.bool_]) -> DriftTrend:
            return fit_drift_trend(drift[seen], target[seen], weight[seen], self._center, start=whole)

        self._ensemble = Ensemble(x, drift, target, weight, self._seed, fit_trend)
        return self

    def predict(self, genes: Bits) -> Prediction:
        """Rewards to expect.

        Args:
            genes: ``(n, steps, columns)``.

        Raises:
            StudyError: nothing was fitted yet.
        """
        ensemble = _fitted(self._ensemble)
        return Prediction(*ensemble.predict(*features_and_drift(genes, self._context)), self._scale)


class TableSurrogate:
    """Predicts a number from features, with the uncertainty of the prediction.

    An ensemble, see :class:`~surrogate.ensemble.Ensemble`, whose trend is a ridge regression: with a few dozen samples
    of a few hundred bits, a sum over bits is most of what can be learned.

    Args:
        seed: of the folds and of LightGBM; equal seeds and data give equal predictions.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._mean = 0.0
        self._unit = 1.0
        self._ensemble: Ensemble | None = None

    def fit(self, x: ArrayLike, y: ArrayLike) -> TableSurrogate:
        """Learn from samples.

        Args:
            x: ``(n, features)`` finite.
            y: ``(n,)`` finite.

        Returns:
            This surrogate.

        Raises:
            StudyError: there are fewer than ``FEWEST_SAMPLES``, lengths differ, or something is not finite.
        """
        features = np.asarray(x, dtype=np.float64)
        values = _checked(features, y)
        if features.ndim != 2 or not np.isfinite(features).all():
            raise StudyError(f"The surrogate got features of the shape {features.shape}; all must be finite, (n, k).")
        self._mean, self._unit = float(values.mean()), float(values.std()) or 1.0
        target = (values - self._mean) / self._unit

        def fit_trend(seen: NDArray[np.bool_]) -> Any:
            from sklearn.linear_model import RidgeCV
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

            return make_pipeline(StandardScaler(), RidgeCV(_PENALTIES)).fit(features[seen], target[seen])

        self._ensemble = Ensemble(features, features, target, np.ones(len(target)), self._seed, fit_trend, np.asarray)
        return self

    def predict(self, x: ArrayLike) -> Prediction:
        """Values to expect.

        Args:
            x: ``(n, features)``.

        Raises:
            StudyError: nothing was fitted yet.
        """
        features = np.asarray(x, dtype=np.float64)
        mean, std = _fitted(self._ensemble).predict(features, features)
        return Prediction.of_rewards(self._mean + self._unit * mean, self._unit * std)


def _checked(samples: NDArray[Any], values: ArrayLike) -> Floats:
    """Finite values, one of each sample, and enough of them."""
    y = np.asarray(values, dtype=np.float64)
    if y.shape != samples.shape[:1] or len(y) < FEWEST_SAMPLES:
        raise StudyError(
            f"The surrogate got samples of the shape {samples.shape} and values of {y.shape}; it needs one value for "
            f"each sample, and at least {FEWEST_SAMPLES}."
        )
    if not np.isfinite(y).all():
        raise StudyError("The surrogate got values that are not finite; leave failed evaluations out.")
    return y


def _fitted(ensemble: Ensemble | None) -> Ensemble:
    if ensemble is None:
        raise StudyError("The surrogate cannot predict before it was fitted; call fit first.")
    return ensemble
