"""An ensemble over folds: a trend and LightGBM on what it leaves, and how large the errors of both are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogate._uncertainty import ErrorModel, Neighborhood

Floats = NDArray[np.float64]

FOLDS = 5
ROUNDS = 100

#: For some hundred samples of some hundred correlated features. ``num_threads`` is explicit since several threads are
#: many times slower than one on data this small.
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_child_samples": 5,
    "feature_fraction": 0.3,
    "lambda_l2": 1.0,
    "max_bin": 63,
    "min_data_in_bin": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class Ensemble:
    """Predicts with the mean of its members, and tells how far it may be off.

    Each member is trained on all but one fold, so that every sample has a prediction from a member that never saw it.
    These out-of-fold errors tell how the size of an error goes with the disagreement of the members and with the
    distance to what was learned from.

    Args:
        x: ``(n, features)`` for the trees.
        inputs: ``n`` inputs of the trend, any shape.
        target: ``(n,)``.
        weight: ``(n,)`` positive.
        seed: of the folds and of LightGBM; equal seeds and data give equal predictions.
        fit_trend: from which samples ``(n,)`` a member may see to a model of few parameters of their targets, for what
            trees cannot learn from few samples; its ``predict`` takes inputs.
        scale: of the features, for distances: see :class:`~surrogate._uncertainty.Neighborhood`.
    """

    def __init__(
        self,
        x: Floats,
        inputs: Floats,
        target: Floats,
        weight: Floats,
        seed: int,
        fit_trend: Callable[[NDArray[np.bool_]], Any],
        scale: Callable[[Floats], Floats] = np.sqrt,
    ) -> None:
        folds = np.random.default_rng(seed).permutation(len(target)) % FOLDS
        errors = np.empty(len(target))
        self._members: list[tuple[Any, Any]] = []  # trends, and the trees that correct them
        for fold in range(FOLDS):
            seen = folds != fold
            trend = fit_trend(seen)
            left = target[seen] - trend.predict(inputs[seen])
            member = trend, _train(x[seen], left, weight[seen], seed * FOLDS + fold)
            errors[~seen] = target[~seen] - _predict(member, x[~seen], inputs[~seen])
            self._members.append(member)
        self._error = float(np.sqrt(np.average(errors**2, weights=weight)))
        self._neighborhood = Neighborhood(x, scale)
        spread, distance = self._spread(self._predictions(x, inputs)), self._neighborhood.distance_left_out(folds)
        self._error_model = ErrorModel(errors, spread, distance, weight)

    def predict(self, x: Floats, inputs: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations, each ``(n,)``, for ``(n, features)`` and ``n`` inputs of the trend."""
        predictions = self._predictions(x, inputs)
        std = self._error_model.std(self._spread(predictions), self._neighborhood.distance(x))
        return predictions.mean(axis=0), std

    def _predictions(self, x: Floats, inputs: Floats) -> Floats:
        return np.stack([_predict(member, x, inputs) for member in self._members])

    def _spread(self, predictions: Floats) -> Floats:
        """``(n,)``: disagreement of the members, above half of the typical error: they share most data."""
        spread: Floats = np.sqrt(predictions.var(axis=0) + (0.5 * self._error) ** 2 + 1e-12)
        return spread


def _predict(member: tuple[Any, Any], x: Floats, inputs: Floats) -> Floats:
    trend, trees = member
    predictions: Floats = trend.predict(inputs) + trees.predict(x, num_threads=1)
    return predictions


def _train(x: Floats, y: Floats, weight: Floats, seed: int) -> Any:
    import lightgbm

    # Otherwise the trees are written to a text and read back, which takes as long as growing a quarter of them.
    data = lightgbm.Dataset(x, y, weight=weight)
    return lightgbm.train(PARAMETERS | {"seed": seed}, data, ROUNDS, keep_training_booster=True)
