"""Whether a surrogate may choose: how good its predictions were, on candidates that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrogate import inside_interval, interval_stretch, trust_figures

__all__ = ["Trust", "trust_in"]

Floats = NDArray[np.float64]

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


def trust_in(mean: Floats, std: Floats, actual: Floats, cost: Floats, threshold: float) -> Trust:
    """Figures over the latest predictions.

    Args:
        mean: ``(n,)`` predictions, oldest first, of what is higher the better.
        std: ``(n,)`` their standard deviations, stretched as they were.
        actual: ``(n,)`` what was measured.
        cost: ``(n,)`` of the same candidates.
        threshold: rank correlation that the surrogate should have.
    """
    if not len(mean):
        return Trust()
    stretch = interval_stretch(inside_interval(mean, std, actual))
    if len(mean) < _FEWEST:
        return Trust(candidates=len(mean), stretch=stretch)
    latest = slice(-_LATEST, None)
    figures = trust_figures(mean[latest], std[latest], actual[latest], cost[latest])
    doubted = figures.falls_short(threshold)
    return Trust(_known(figures.rank_correlation), _known(figures.coverage), doubted, figures.count, stretch)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
