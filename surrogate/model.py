"""The surrogate: an ensemble of LightGBM models that predicts the reward of schedules not evaluated yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import StudyError

__all__ = ["FEWEST_SCHEDULES", "Surrogate"]

Floats = NDArray[np.float64]

#: Fewer evaluated schedules than this teach a model nothing.
FEWEST_SCHEDULES = 8
FOLDS = 5
ROUNDS = 200

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


class Surrogate:
    """Predicts rewards with their uncertainty.

    Each member of the ensemble is trained on all but one fold of the data, so that every evaluated schedule has a
    prediction from a member that never saw it. These out-of-fold errors scale the spread of the members into a
    standard deviation of the right size.

    Args:
        seed: of the folds and of LightGBM; equal seeds and data give equal predictions.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._members: list[Any] = []
        self._center = 0.0
        self._scale = 1.0
        self._error = 0.0
        self._stretch = 1.0

    @property
    def out_of_fold_error(self) -> float:
        """Root of the mean squared error on schedules that a member did not see, in units of the reward."""
        return self._error * self._scale

    def fit(self, x: Floats, y: ArrayLike) -> Surrogate:
        """Learn from evaluated schedules.

        Args:
            x: ``(n, f)`` features.
            y: ``(n,)`` finite rewards.

        Returns:
            This surrogate.

        Raises:
            StudyError: there are fewer than ``FEWEST_SCHEDULES``, lengths differ, or rewards are not finite.
        """
        import lightgbm

        rewards = np.asarray(y, dtype=np.float64)
        if len(rewards) != len(x) or len(rewards) < FEWEST_SCHEDULES:
            raise StudyError(
                f"The surrogate got {len(x)} schedules and {len(rewards)} rewards; it needs as many of one as of the "
                f"other, and at least {FEWEST_SCHEDULES}."
            )
        if not np.isfinite(rewards).all():
            raise StudyError("The surrogate got rewards that are not finite; leave failed evaluations out.")
        self._center, self._scale = float(rewards.mean()), float(rewards.std()) or 1.0
        target = (rewards - self._center) / self._scale
        folds = np.random.default_rng(self._seed).permutation(len(target)) % FOLDS
        held_out = np.empty(len(target))
        self._members = []
        for fold in range(FOLDS):
            seen = folds != fold
            parameters = PARAMETERS | {"seed": self._seed * FOLDS + fold}
            member = lightgbm.train(parameters, lightgbm.Dataset(x[seen], target[seen]), ROUNDS)
            held_out[~seen] = member.predict(x[~seen], num_threads=1)
            self._members.append(member)
        errors = target - held_out
        self._error = float(np.sqrt(np.mean(errors**2)))
        spread = self._spread(self._predictions(x))
        self._stretch = float(np.sqrt(np.mean((errors / spread) ** 2)))
        return self

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Rewards to expect.

        Args:
            x: ``(n, f)`` features.

        Returns:
            Means and standard deviations, each ``(n,)``, in units of the reward.

        Raises:
            StudyError: nothing was fitted yet.
        """
        if not self._members:
            raise StudyError("The surrogate cannot predict before it was fitted; call fit first.")
        predictions = self._predictions(x)
        mean = self._center + self._scale * predictions.mean(axis=0)
        return mean, self._scale * self._stretch * self._spread(predictions)

    def _predictions(self, x: Floats) -> Floats:
        return np.stack([np.asarray(member.predict(x, num_threads=1)) for member in self._members])

    def _spread(self, predictions: Floats) -> Floats:
        """``(n,)``: disagreement of the members, above half of the typical error: they share most data."""
        spread: Floats = np.sqrt(predictions.var(axis=0) + (0.5 * self._error) ** 2 + 1e-12)
        return spread
