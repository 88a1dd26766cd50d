"""How good the surrogate's predictions were, on candidates that it had not seen when it made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from studies import attributes
from studies.quality import Scale
from studies.trials import values_of
from surrogate import DropForecast, LogDrop, inside_interval, interval_stretch, trust_figures

__all__ = ["Trust", "forecast_of", "measure_trust"]

#: Latest predicted candidates that count: about five generations.
_LATEST = 60
_FEWEST = 20


@dataclass(frozen=True)
class Trust:
    """Out-of-sample figures, None where there are too few candidates to tell.

    Args:
        rank_correlation: Spearman correlation of predicted and real reward within bands of equal cost.
        coverage: share of real rewards inside the 90 % interval.
        doubted: whether the rank correlation is below the threshold by more than chance.
        candidates: how many candidates these come from.
        stretch: by what to stretch the next intervals, see :func:`~surrogate.uncertainty.interval_stretch`.
    """

    rank_correlation: float | None = None
    coverage: float | None = None
    doubted: bool = False
    candidates: int = 0
    stretch: float = 1.0


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
    actual = forecast.scale.of(values[:, 0])
    stretch = interval_stretch(inside_interval(forecast.log_drop, forecast.log_std, actual))
    if len(foretold) < _FEWEST:
        return Trust(candidates=len(foretold), stretch=stretch)
    latest = slice(-_LATEST, None)
    figures = trust_figures(-forecast.log_drop[latest], forecast.log_std[latest], -actual[latest], values[latest, 1])
    doubted = figures.falls_short(threshold)
    return Trust(_known(figures.rank_correlation), _known(figures.coverage), doubted, figures.count, stretch)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
