"""How good predictions were, measured on candidates that were evaluated after they had been predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate._uncertainty import interval_stretch

Floats = NDArray[np.float64]

#: Fewest points of a band: the rank correlation of fewer is mostly chance.
_FEWEST_OF_A_BAND = 4
#: Latest predictions that count: about five generations; and how many there must be.
_LATEST, _FEWEST = 60, 20
_BANDS = 6
#: Standard deviations that a normal variable exceeds with a probability of 5 %.
_ONE_SIDED = 1.645


@dataclass(frozen=True)
class Accuracy:
    """How well the latest predictions met what was measured.

    Args:
        rank_correlation: see :func:`banded_rank_correlation`; None where too few candidates were predicted to tell.
        coverage: share of measured values inside the predicted 90 % intervals; None where there are too few.
        usable: False where the rank correlation is below the threshold by more than chance (5 %, one-sided) explains.
            Candidates that a surrogate chose are alike, so few of them often rank against its predictions though it
            knows a lot.
        stretch: by what to stretch the next intervals, see :func:`~surrogate.interval_stretch`.
    """

    rank_correlation: float | None = None
    coverage: float | None = None
    usable: bool = True
    stretch: float = 1.0


def measure_accuracy(mean: Floats, std: Floats, actual: Floats, cost: Floats, threshold: float) -> Accuracy:
    """The accuracy of predictions of what is higher the better.

    Args:
        mean: ``(n,)`` predictions, oldest first; NaN where a candidate was not predicted.
        std: ``(n,)`` their standard deviations, stretched as they were.
        actual: ``(n,)`` what was measured.
        cost: ``(n,)`` of the same candidates.
        threshold: rank correlation that the predictions should have.
    """
    predicted = np.isfinite(mean)
    mean, std, actual, cost = (values[predicted] for values in (mean, std, actual, cost))
    stretch = interval_stretch(inside_interval(mean, std, actual))
    if len(mean) < _FEWEST:
        return Accuracy(stretch=stretch)
    mean, std, actual, cost = (values[-_LATEST:] for values in (mean, std, actual, cost))
    found = banded_rank_correlation(mean, actual, cost, _BANDS)
    usable = not found + _ONE_SIDED * _chance(len(mean), _BANDS) < threshold
    coverage = interval_coverage(mean, std, actual)
    return Accuracy(found if np.isfinite(found) else None, coverage, usable, stretch)


def banded_rank_correlation(predicted: ArrayLike, actual: ArrayLike, cost: ArrayLike, bands: int = _BANDS) -> float:
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
    if len(costs) < _FEWEST_OF_A_BAND:
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


def _bands(count: int, wanted: int) -> int:
    return max(1, min(wanted, count // _FEWEST_OF_A_BAND))


def _chance(count: int, bands: int) -> float:
    """Of ``n`` unrelated pairs Spearman's correlation has the variance ``1 / (n - 1)``; bands are averaged by count."""
    sizes = np.array([len(band) for band in np.array_split(np.arange(count), _bands(count, bands))])
    return float(np.sqrt((sizes**2 / (sizes - 1)).sum()) / count)


def _spearman(first: Floats, second: Floats) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic) if np.ptp(first) > 0.0 else 0.0
