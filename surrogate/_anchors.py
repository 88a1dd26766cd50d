"""Which few images tell what all of them will: a schedule that does harm does it to some images more than to others.

After "anchor points" of benchmarks of language models (Vivek et al., arXiv 2309.08638; Polo et al., arXiv 2402.14992):
from what was evaluated whole it is learned how the drops of images go together; the anchors are the images from which
the mean of all can be told best, and it is told by linear regression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surrogate._prediction import LogDrop

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

#: Fewer whole evaluations than this tell nothing of how images go together.
FEWEST_WHOLE = 12
#: The drops of two images are less alike than so few schedules make them look: their covariances count for less.
_SHRINKAGE = 0.1
#: Relative errors matter, so schedules count by the inverse of their drop, but none for more than one of this drop, as
#: a share of the range of interest.
_LEAST_DROP = 0.1
#: There are as many anchors as it takes to tell the logarithm of the drop with this error, where half of all do.
ERROR = 0.3
_FOLDS = 5
_FEWEST, _MOST = 2, 128
#: Fewer than this part of the images would save next to nothing more.
_LEAST_SHARE = 32


@dataclass(frozen=True, eq=False)
class Anchors:
    """The images that tell most of the mean of all, and what they tell.

    Args:
        images: ``(k,)`` numbers of the anchors, ascending.
        weights: ``(k,)``: the mean drop over all images is the weighted sum of the drops of these.
        error: root mean square error of the log drop that was found by cross-validation.
    """

    images: Integers
    weights: Floats
    error: float

    def expected_drop(self, drops: Floats) -> float:
        """The mean drop over all images to expect, from ``(k,)`` drops of the anchors."""
        return float(self.weights @ drops)


def find_anchors(drops: Floats, scale: LogDrop) -> Anchors | None:
    """As few anchors as tell the log drop well enough.

    Args:
        drops: ``(n, images)``: the uncached image's score less that of the same image under each of ``n`` schedules,
            which are spread over the range of interest.
        scale: of the log drops.

    Returns:
        None where nothing short of half of the images tells enough, or too few schedules are known.
    """
    count, images = drops.shape
    if count < FEWEST_WHOLE or images < 2 * _FEWEST:
        return None
    sizes = _sizes(images)
    folds = np.arange(count) % _FOLDS
    errors = np.zeros(len(sizes))
    truth = scale.of(scale.uncached - drops.mean(axis=1))
    for fold in range(_FOLDS):
        seen = folds != fold
        moments = _moments(drops[seen], scale.unit)
        order = _informative(moments, sizes[-1])
        for index, size in enumerate(sizes):
            chosen = np.sort(order[:size])
            told = drops[~seen][:, chosen] @ _regression(moments, chosen)
            errors[index] += float(((scale.of(scale.uncached - told) - truth[~seen]) ** 2).sum())
    errors = np.sqrt(errors / count)
    enough = np.flatnonzero(errors <= ERROR)
    if not len(enough):
        return None
    moments = _moments(drops, scale.unit)
    chosen = np.sort(_informative(moments, sizes[enough[0]]))
    return Anchors(chosen, _regression(moments, chosen), float(errors[enough[0]]))


def _sizes(images: int) -> list[int]:
    """Numbers of anchors to try, up to half of the images: 2, 3, 4, 6, 8, 12, ...; of many images none too small."""
    least, most = max(_FEWEST, images // _LEAST_SHARE), min(images // 2, max(_MOST, images // _LEAST_SHARE))
    doubled = [size for power in range(1, 8) for size in (2**power, 3 * 2 ** (power - 1))]
    return [size for size in sorted(doubled) if least <= size <= most] or [least]


def _moments(drops: Floats, unit: float) -> Floats:
    """``(images, images)``: weighted mean products of drops, shrunk to their diagonal."""
    weights = 1 / (np.maximum(drops.mean(axis=1) / unit, 0.0) + _LEAST_DROP)
    weighted = drops * (weights / unit)[:, None]
    moments = weighted.T @ weighted / len(drops)
    variances = np.diag(moments)
    shrunk: Floats = (1 - _SHRINKAGE) * moments + np.diag(_SHRINKAGE * variances + 1e-6 * variances.mean() + 1e-12)
    return shrunk


def _informative(moments: Floats, count: int) -> Integers:
    """Images in the order in which each tells most of the mean that those before it left open.

    A pivoted Cholesky decomposition: what is left of the moments when the chosen images are known is never formed.
    """
    factor = np.zeros((0, len(moments)))
    mean, variance = moments.mean(axis=1), np.diag(moments).copy()  # of what is left
    order: list[int] = []
    for _ in range(count):
        told = mean**2 / np.maximum(variance, 1e-15)
        told[order] = -np.inf
        best = int(told.argmax())
        order.append(best)
        row = (moments[best] - factor[:, best] @ factor) / np.sqrt(variance[best])
        factor = np.vstack([factor, row])
        mean = mean - row * row.mean()
        variance = np.maximum(variance - row**2, 1e-15)
    return np.array(order, dtype=np.intp)


def _regression(moments: Floats, chosen: Integers) -> Floats:
    """``(k,)`` weights of the chosen images with which their sum comes closest to the mean of all."""
    weights: Floats = np.linalg.solve(moments[np.ix_(chosen, chosen)], moments[chosen].mean(axis=1))
    return weights
