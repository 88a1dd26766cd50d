"""How good the surrogate's predictions were, on candidates that it had not seen when it made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from studies import attributes
from studies.trials import values_of
from surrogate import trust_figures

__all__ = ["Trust", "measure_trust"]

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
    """

    rank_correlation: float | None = None
    coverage: float | None = None
    doubted: bool = False
    candidates: int = 0


def measure_trust(trials: Sequence[FrozenTrial], threshold: float) -> Trust:
    """Figures over the latest of the given evaluated trials, oldest first, that carry a prediction.

    Args:
        trials: evaluated ones.
        threshold: rank correlation that the surrogate should have.
    """
    latest = [trial for trial in trials if attributes.PREDICTED_REWARD in trial.user_attrs][-_LATEST:]
    if len(latest) < _FEWEST:
        return Trust(candidates=len(latest))
    values = np.array([values_of(trial) for trial in latest])
    figures = trust_figures(
        np.array([trial.user_attrs[attributes.PREDICTED_REWARD] for trial in latest]),
        np.array([trial.user_attrs[attributes.PREDICTED_STD] for trial in latest]),
        values[:, 0],
        values[:, 1],
    )
    doubted = figures.falls_short(threshold)
    return Trust(_known(figures.rank_correlation), _known(figures.coverage), doubted, len(latest))


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
