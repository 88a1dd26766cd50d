"""The surrogate: a trend and LightGBM on what it leaves, as an ensemble, predict the reward of schedules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError
from surrogate.drop import LogDrop
from surrogate.features import Bits, FeatureContext, features_and_drift
from surrogate.forecast import DropForecast
from surrogate.harm import HarmModel, fit_harm
from surrogate.prior import Prior
from surrogate.uncertainty import ErrorModel, Neighborhood, fit_errors

__all__ = ["FEWEST_SCHEDULES", "Surrogate"]

Floats = NDArray[np.float64]

#: Fewer evaluated schedules than this teach a model nothing.
FEWEST_SCHEDULES = 8
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


@dataclass(frozen=True, eq=False)
class _Member:
    """One model of the ensemble: the trend and the trees that correct it."""

    trend: HarmModel
    trees: Any

    def predict(self, x: Floats, drift: Floats) -> Floats:
        corrections: Floats = self.trees.predict(x, num_threads=1)
        return self.trend.predict(drift) + corrections


class Surrogate:
    """Predicts rewards with their uncertainty.

    Each member of the ensemble is trained on all but one fold of the data, so that every evaluated schedule has a
    prediction from a member that never saw it. These out-of-fold errors tell how the size of an error goes with the
    disagreement of the members and with the distance to what was evaluated. All of it happens on the scale of
    :class:`LogDrop`.

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
        self._members: list[_Member] = []
        self._scale = LogDrop(0.0, 0.0)
        self._error = 0.0
        self._neighborhood: Neighborhood | None = None
        self._error_model: ErrorModel | None = None

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
        folds = np.random.default_rng(self._seed).permutation(len(y)) % FOLDS
        errors = np.empty(len(y))
        self._members = []
        # The trends of the folds are close to that of all, so they are found from there in a few iterations.
        whole = fit_harm(drift, target, weight, self._center)
        for fold in range(FOLDS):
            seen = folds != fold
            trend = fit_harm(drift[seen], target[seen], weight[seen], self._center, start=whole)
            left = target[seen] - trend.predict(drift[seen])
            member = _Member(trend, _train(x[seen], left, weight[seen], self._seed * FOLDS + fold))
            errors[~seen] = target[~seen] - member.predict(x[~seen], drift[~seen])
            self._members.append(member)
        self._error = float(np.sqrt(np.average(errors**2, weights=weight)))
        self._neighborhood = Neighborhood(x)
        spread, distance = self._spread(self._predictions(x, drift)), self._neighborhood.distance_left_out(folds)
        self._error_model = fit_errors(errors, spread, distance, weight)
        return self

    def predict(self, compute: Bits) -> DropForecast:
        """Rewards to expect.

        Args:
            compute: ``(n, steps, slots)`` effective bits.

        Raises:
            StudyError: nothing was fitted yet.
        """
        if self._neighborhood is None or self._error_model is None:
            raise StudyError("The surrogate cannot predict before it was fitted; call fit first.")
        x, drift = self._inputs(compute)
        predictions = self._predictions(x, drift)
        std = self._error_model.std(self._spread(predictions), self._neighborhood.distance(x))
        return DropForecast(self._scale, predictions.mean(axis=0), std)

    def _inputs(self, compute: Bits) -> tuple[Floats, Floats]:
        return features_and_drift(compute, self._context)

    def _predictions(self, x: Floats, drift: Floats) -> Floats:
        return np.stack([member.predict(x, drift) for member in self._members])

    def _spread(self, predictions: Floats) -> Floats:
        """``(n,)``: disagreement of the members, above half of the typical error: they share most data."""
        spread: Floats = np.sqrt(predictions.var(axis=0) + (0.5 * self._error) ** 2 + 1e-12)
        return spread


def _train(x: Floats, y: Floats, weight: Floats, seed: int) -> Any:
    import lightgbm

    # Otherwise the trees are written to a text and read back, which takes as long as growing a quarter of them.
    data = lightgbm.Dataset(x, y, weight=weight)
    return lightgbm.train(PARAMETERS | {"seed": seed}, data, ROUNDS, keep_training_booster=True)
