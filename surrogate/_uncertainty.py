"""How large the error of a prediction may be: larger where models disagree, and far from all that was evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Schedules to which a distance is the mean of distances.
_NEAREST = 2
#: In units of the typical distance: a repeated schedule is not predicted without an error.
_LEAST_DISTANCE = 0.05
#: Prior of both exponents: mean and standard deviation.
_EXPONENT, _EXPONENT_PRIOR = 0.5, 0.3
#: Change of the logarithm of the intervals' width for each measured value that they missed.
_RATE = 0.1


class Neighborhood:
    """Distances to evaluated schedules, by the roots of features, which are sums that reach over orders of magnitude.

    Args:
        x: ``(n, features)`` of the evaluated schedules, not negative.
        scale: of the features; roots by default. Features of any sign need another one.
    """

    def __init__(self, x: Floats, scale: Callable[[Floats], Floats] = np.sqrt) -> None:
        self._scale = scale
        roots = scale(x)
        self._mean = roots.mean(axis=0)
        # A feature that never varied says nothing of how far away a schedule is.
        self._unit = np.where(roots.std(axis=0) > 0, roots.std(axis=0), np.inf) * np.sqrt(x.shape[1])
        self._points = (roots - self._mean) / self._unit

    def distance(self, x: Floats) -> Floats:
        """``(m,)``: from ``(m, features)`` to the nearest ones evaluated."""
        return _nearest((self._scale(x) - self._mean) / self._unit, self._points)

    def distance_left_out(self, folds: NDArray[np.intp]) -> Floats:
        """``(n,)``: from each evaluated schedule to the nearest ones of other folds, ``folds`` being ``(n,)``."""
        distance = np.empty(len(folds))
        for fold in np.unique(folds):
            left_out = folds == fold
            distance[left_out] = _nearest(self._points[left_out], self._points[~left_out])
        return distance


def _nearest(points: Floats, others: Floats) -> Floats:
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T
    count = min(_NEAREST, len(others))
    nearest = np.partition(squares, count - 1, axis=1)[:, :count]
    distance: Floats = np.sqrt(np.maximum(nearest, 0.0)).mean(axis=1)
    return distance


class ErrorModel:
    """``log std = level + spread_power * log(spread) + distance_power * log(distance)``, in typical units of both.

    Level and powers are those under which errors that were seen are likeliest, if they are Gaussian.

    Args:
        errors: ``(n,)`` of predictions for schedules that the models had not seen.
        spread: ``(n,)`` positive: disagreement of the models.
        distance: ``(n,)`` from schedules that the models had seen.
        weights: ``(n,)`` positive: how much each counts.
    """

    def __init__(self, errors: Floats, spread: Floats, distance: Floats, weights: Floats) -> None:
        from scipy.optimize import minimize

        typical = float(np.sqrt(np.average(errors**2, weights=weights))) or 1e-9
        self._spread, self._distance = float(np.median(spread)), float(np.median(distance)) or 1.0
        columns = np.stack([np.ones_like(errors), *self._logarithms(spread, distance)], axis=1)
        relative = errors / typical
        exponents = np.array([0.0, 1.0, 1.0]) / _EXPONENT_PRIOR**2
        center = np.array([0.0, _EXPONENT, _EXPONENT])

        def unlikelihood(p: Floats) -> tuple[float, Floats]:
            logarithm = columns @ p
            squares = (relative * np.exp(-logarithm)) ** 2
            away = p - center
            value = float(weights @ (logarithm + 0.5 * squares) + 0.5 * exponents @ away**2)
            return value, columns.T @ (weights * (1.0 - squares)) + exponents * away

        found = minimize(unlikelihood, center, jac=True, method="L-BFGS-B", bounds=[(-10, 10), (-1, 3), (-1, 3)]).x
        self._level = float(np.log(typical)) + float(found[0])
        self._powers = float(found[1]), float(found[2])

    def std(self, spread: Floats, distance: Floats) -> Floats:
        """``(m,)`` standard deviations of errors, from ``(m,)`` disagreement and distances of other schedules."""
        by_spread, by_distance = self._logarithms(spread, distance)
        std: Floats = np.exp(self._level + self._powers[0] * by_spread + self._powers[1] * by_distance)
        return std

    def _logarithms(self, spread: Floats, distance: Floats) -> tuple[Floats, Floats]:
        return np.log(spread / self._spread), np.log(distance / self._distance + _LEAST_DISTANCE)


def interval_stretch(inside: Sequence[bool] | ArrayLike, level: float = 0.9) -> float:
    """By what to stretch the next intervals, from whether those so far, stretched as they were, held.

    New candidates are not like those from which a model's errors are known: they are chosen because it thinks well of
    them. The width is tracked as in adaptive conformal inference (Gibbs and Candes 2021): each miss widens the next
    intervals, and each hit narrows them, by amounts that balance where the intervals hold as often as they should.

    Args:
        inside: ``(n,)`` whether each measured value was within its interval.
        level: how often they should be.
    """
    hits = np.asarray(inside, dtype=np.float64)
    return float(np.exp(_RATE * (level - hits).sum()))
