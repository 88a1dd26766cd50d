"""How far the surrogate can be trusted, measured on candidates that were evaluated after it predicted them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["TrustFigures", "banded_rank_correlation", "inside_interval", "interval_coverage", "trust_figures"]

Floats = NDArray[np.float64]

#: Fewest points of a band: the rank correlation of fewer is mostly chance.
FEWEST = 4
#: Standard deviations that a normal variable exceeds with a probability of 5 %.
_ONE_SIDED = 1.645


@dataclass(frozen=True)
class TrustFigures:
    """How well one set of predictions met what was measured.

    Args:
        count: number of predictions compared.
        rank_correlation: see :func:`banded_rank_correlation`; NaN where it cannot be measured.
        rank_error: standard deviation that the rank correlation would have if prediction and measurement had nothing to
            do with each other.
        coverage: share of measured rewards within the predicted interval of ``level``; NaN without predictions.
        level: what the coverage should be.
        error: root of the mean squared error, in the unit of the predictions; NaN without them.
    """

    count: int
    rank_correlation: float
    rank_error: float
    coverage: float
    level: float
    error: float

    def falls_short(self, threshold: float) -> bool:
        """Whether the rank correlation is below ``threshold`` by more than chance (5 %, one-sided) explains.

        Candidates that a surrogate chose are alike, so few of them often rank against its predictions though it knows a
        lot.
        """
        return bool(self.rank_correlation + _ONE_SIDED * self.rank_error < threshold)


def banded_rank_correlation(predicted: ArrayLike, actual: ArrayLike, cost: ArrayLike, bands: int = 6) -> float:
    """Spearman's rank correlation of prediction and measurement among candidates of nearly equal cost.

    Over all costs it is close to 1 for any model, since cost alone tells most of the quality. So the candidates are
    sorted by cost and cut into bands of equal count, and the correlations within the bands are averaged by count.

    Args:
        predicted: ``(n,)`` predicted rewards.
        actual: ``(n,)`` measured rewards.
        cost: ``(n,)`` costs, in any unit.
        bands: how many bands are wanted; there are fewer where bands would hold fewer than four candidates.

    Returns:
        From -1 to 1; a prediction that is constant in a band counts as 0 there. NaN where there are fewer than four
        candidates, or where the measured rewards do not vary within any band.
    """
    predictions, rewards, costs = (np.asarray(values, dtype=np.float64) for values in (predicted, actual, cost))
    if len(costs) < FEWEST:
        return float("nan")
    order = np.argsort(costs, kind="stable")
    total, weight = 0.0, 0
    for band in np.array_split(order, _bands(len(order), bands)):
        if np.ptp(rewards[band]) > 0.0:
            total += len(band) * _spearman(predictions[band], rewards[band])
            weight += len(band)
    return total / weight if weight else float("nan")


def inside_interval(mean: ArrayLike, std: ArrayLike, actual: ArrayLike, level: float = 0.9) -> NDArray[np.bool_]:
    """Which measured values are within the central Gaussian interval of a level: ``(n,)``.

    Args:
        mean: ``(n,)`` predictions.
        std: ``(n,)`` their standard deviations.
        actual: ``(n,)`` measured values.
        level: probability of the interval, between 0 and 1.
    """
    from scipy.special import ndtri

    means, stds, values = (np.asarray(given, dtype=np.float64) for given in (mean, std, actual))
    inside: NDArray[np.bool_] = np.abs(values - means) <= ndtri(0.5 + level / 2) * stds
    return inside


def interval_coverage(mean: ArrayLike, std: ArrayLike, actual: ArrayLike, level: float = 0.9) -> float:
    """Share of measured values :func:`inside_interval`; NaN for none."""
    inside = inside_interval(mean, std, actual, level)
    return float(inside.mean()) if len(inside) else float("nan")


def trust_figures(
    mean: ArrayLike, std: ArrayLike, actual: ArrayLike, cost: ArrayLike, bands: int = 6, level: float = 0.9
) -> TrustFigures:
    """All figures of one set of predictions: arrays as in the functions above, each ``(n,)``."""
    means, rewards = np.asarray(mean, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    return TrustFigures(
        count=len(rewards),
        rank_correlation=banded_rank_correlation(means, rewards, cost, bands),
        rank_error=_chance(len(rewards), bands),
        coverage=interval_coverage(means, std, rewards, level),
        level=level,
        error=float(np.sqrt(np.mean((rewards - means) ** 2))) if len(rewards) else float("nan"),
    )


def _bands(count: int, wanted: int) -> int:
    return max(1, min(wanted, count // FEWEST))


def _chance(count: int, bands: int) -> float:
    """Of ``n`` unrelated pairs Spearman's correlation has the variance ``1 / (n - 1)``; bands are averaged by count."""
    sizes = np.array([len(band) for band in np.array_split(np.arange(count), _bands(count, bands))])
    if count < FEWEST:
        return float("nan")
    return float(np.sqrt((sizes**2 / (sizes - 1)).sum()) / count)


def _spearman(first: Floats, second: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic) if np.ptp(first) > 0.0 else 0.0
