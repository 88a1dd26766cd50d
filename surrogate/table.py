"""A surrogate of any features: ridge regression and LightGBM on what it leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError
from surrogate.ensemble import Ensemble, fit_ensemble
from surrogate.forecast import GaussianForecast
from surrogate.uncertainty import Neighborhood

__all__ = ["FEWEST_SAMPLES", "TableSurrogate"]

Floats = NDArray[np.float64]

#: Fewer samples than this teach a model nothing.
FEWEST_SAMPLES = 8
#: Strengths of the penalty, for standardized features, of which leave-one-out errors choose.
_PENALTIES = np.logspace(-1, 5, 13)


class TableSurrogate:
    """Predicts a number from features, with the uncertainty of the prediction.

    An ensemble, see :func:`~surrogate.ensemble.fit_ensemble`, whose trend is a ridge regression: with a few dozen
    samples of a few hundred bits, a sum over bits is most of what can be learned.

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
        features, values = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if features.ndim != 2 or values.shape != features.shape[:1] or len(values) < FEWEST_SAMPLES:
            raise StudyError(
                f"The surrogate got features of the shape {features.shape} and values of {values.shape}; it needs "
                f"(n, features) and (n,), and n of at least {FEWEST_SAMPLES}."
            )
        if not np.isfinite(features).all() or not np.isfinite(values).all():
            raise StudyError("The surrogate got features or values that are not finite; leave failed evaluations out.")
        self._mean, self._unit = float(values.mean()), float(values.std()) or 1.0
        target = (values - self._mean) / self._unit

        def fit_trend(seen: NDArray[np.bool_]) -> Any:
            return _ridge().fit(features[seen], target[seen])

        self._ensemble = fit_ensemble(
            features, features, target, np.ones(len(target)), self._seed, fit_trend, _plain_neighborhood
        )
        return self

    def predict(self, x: ArrayLike) -> GaussianForecast:
        """Values to expect.

        Args:
            x: ``(n, features)``.

        Raises:
            StudyError: nothing was fitted yet.
        """
        if self._ensemble is None:
            raise StudyError("The surrogate cannot predict before it was fitted; call fit first.")
        features = np.asarray(x, dtype=np.float64)
        mean, std = self._ensemble.predict(features, features)
        return GaussianForecast(self._mean + self._unit * mean, self._unit * std)


def _ridge() -> Any:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))


def _plain_neighborhood(x: Floats) -> Neighborhood:
    return Neighborhood(x, np.asarray)
