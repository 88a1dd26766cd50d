"""The Fréchet distance between sets of features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError
from ecad_automl.metrics.statistics import FeatureStatistics


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """Squared Fréchet distance of the two Gaussians; of Inception features, the FID of Heusel et al. 2017.

    ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))``. The last trace is the sum of the singular values of
    ``A1' A2`` where ``C = A A'``, which needs no square root of a matrix that is not symmetric and is as exact where
    there are fewer images than features. FID is biased: it falls as there are more images, so only distances of equal
    counts can be compared.

    Args:
        first: of one set, of at least two images.
        second: of the other, in the same features.

    Returns:
        The distance, at least 0.

    Raises:
        EvaluationError: the features differ in number, or a set has fewer than two images.
    """
    if first.mean.shape != second.mean.shape:
        raise EvaluationError(
            f"Statistics of {len(first.mean)} and of {len(second.mean)} features cannot be compared; take both from "
            "the same layer of the same network."
        )
    apart = float(np.square(first.mean - second.mean).sum())
    factors = [_factor(statistics.covariance) for statistics in (first, second)]
    variance = sum(float(np.square(factor).sum()) for factor in factors)
    common = float(np.linalg.svd(factors[0].T @ factors[1], compute_uv=False).sum())
    return max(0.0, apart + variance - 2 * common)


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(d, r)``: A of ``C = A A'`` for a ``(d, d)`` covariance of rank r."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(np.float64).eps
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))
