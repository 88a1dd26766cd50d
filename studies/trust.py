"""How good the surrogate's predictions were, on candidates that it had not seen when it made them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial

from studies import attributes
from studies.binary.trust import Trust, trust_in
from studies.quality import Scale
from studies.trials import values_of
from surrogate import DropForecast, LogDrop

__all__ = ["Trust", "forecast_of", "measure_trust"]


def forecast_of(trials: Sequence[FrozenTrial], scale: Scale) -> DropForecast:
    """What had been predicted of trials that all carry a prediction."""
    predicted = [
        (trial.user_attrs[attributes.PREDICTED_REWARD], trial.user_attrs[attributes.PREDICTED_STD]) for trial in trials
    ]
    reward, std = np.array(predicted, dtype=np.float64).reshape(-1, 2).T
    return DropForecast.from_rewards(LogDrop(scale.uncached_reward, scale.span), reward, std)


def measure_trust(trials: Sequence[FrozenTrial], threshold: float, scale: Scale) -> Trust:
    """Figures over the latest of the given evaluated trials, oldest first, that carry a prediction.

    Args:
        trials: evaluated ones.
        threshold: rank correlation that the surrogate should have.
        scale: of the rewards; predictions have Gaussian errors in log drops.
    """
    foretold = [trial for trial in trials if attributes.PREDICTED_REWARD in trial.user_attrs]
    if not foretold:
        return Trust()
    values = np.array([values_of(trial) for trial in foretold])
    forecast = forecast_of(foretold, scale)
    return trust_in(-forecast.log_drop, forecast.log_std, -forecast.scale.of(values[:, 0]), values[:, 1], threshold)
