"""The front of a study and the choice of a point on it; pure functions on records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from ecad_automl.errors import StorageError, StudyError

__all__ = [
    "Costly",
    "Point",
    "by_gmacs",
    "by_latency",
    "choose_by_drop",
    "choose_by_speedup",
    "choose_trial",
    "front",
    "knee",
]


class Costly(Protocol):
    """What a record of any run says of its cost."""

    @property
    def gmacs(self) -> float:
        """Multiply-accumulates in 10^9; lower is better."""

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds for one image; lower is better. None where nobody measured or modeled them."""


class Point(Costly, Protocol):
    """What is read of a record; :class:`~storage.records.EvaluationRecord` has it."""

    @property
    def reward(self) -> float:
        """Mean reward; higher is better."""

    @property
    def reward_drop(self) -> float:
        """Mean paired loss of reward against the uncached run."""

    @property
    def trial(self) -> int | None:
        """Number of the Optuna trial."""

    @property
    def complete(self) -> bool:
        """Whether all images were scored."""

    @property
    def feasible(self) -> bool:
        """Whether the constraints of the study are met."""


P = TypeVar("P", bound=Point)


def by_gmacs(point: Costly) -> float:
    """Costs are MACs."""
    return point.gmacs


def by_latency(point: Costly) -> float:
    """Costs are latencies.

    Raises:
        StorageError: the point has none.
    """
    if point.latency_ms is None:
        raise StorageError("A schedule of this study has no latency, though the study minimizes it; restore the file.")
    return point.latency_ms


def front(points: Iterable[P], cost: Callable[[P], float] = by_gmacs) -> list[P]:
    """The points that no other one beats: none has at least the reward for at most the cost, and one of both better.

    Args:
        points: evaluated schedules; incomplete and infeasible ones and ones without a finite reward are left out. Of
            points with the same two figures the first is taken.
        cost: what a point costs.

    Returns:
        The front from the cheapest to the dearest, so from the lowest reward to the highest.
    """
    usable = [
        point
        for point in points
        if point.complete and point.feasible and math.isfinite(point.reward) and math.isfinite(cost(point))
    ]
    best: list[P] = []
    for point in sorted(usable, key=lambda point: (cost(point), -point.reward)):
        if not best or point.reward > best[-1].reward:
            best.append(point)
    return best


def choose_by_speedup(
    points: Sequence[P], speedup: float, full_cost: float, cost: Callable[[P], float] = by_gmacs
) -> P:
    """The point of the highest reward among those that are at least so many times cheaper than the uncached run.

    Args:
        points: a front, or any points.
        speedup: wanted ratio of costs, from 1.
        full_cost: cost of the uncached run.
        cost: what a point costs.

    Raises:
        StudyError: no point is that cheap, or there is none.
    """
    _some(points)
    if not speedup > 0:
        raise StudyError(f"A speedup of {speedup:g} was asked for, but it must be above 0, such as 2.")
    # A schedule of exactly the wanted cost must not be lost to rounding.
    fitting = [point for point in points if cost(point) * speedup <= full_cost * (1 + 1e-9)]
    if not fitting:
        cheapest = min(cost(point) for point in points)
        raise StudyError(
            f"No schedule found is {speedup:g} times cheaper than the uncached run; the cheapest is "
            f"{full_cost / cheapest:.2f} times, so ask for less or search on."
        )
    return max(fitting, key=lambda point: (point.reward, -cost(point)))


def choose_by_drop(points: Sequence[P], max_drop: float, cost: Callable[[P], float] = by_gmacs) -> P:
    """The cheapest point that loses at most so much reward against the uncached run.

    Args:
        points: a front, or any points.
        max_drop: largest accepted mean paired drop, in units of the reward.
        cost: what a point costs.

    Raises:
        StudyError: every point loses more, or there is none.
    """
    _some(points)
    fitting = [point for point in points if point.reward_drop <= max_drop]
    if not fitting:
        least = min(point.reward_drop for point in points)
        raise StudyError(
            f"No schedule found loses at most {max_drop:g} of reward; the smallest loss is {least:.4g}, so accept more "
            "or search on."
        )
    return min(fitting, key=lambda point: (cost(point), -point.reward))


def knee(points: Sequence[P], cost: Callable[[P], float] = by_gmacs) -> P:
    """The point where the front bends most: furthest above the chord between its ends, both axes scaled to [0, 1].

    Args:
        points: a front in any order.
        cost: what a point costs.

    Returns:
        The point; the one of the highest reward where none lies above the chord.

    Raises:
        StudyError: there is no point.
    """
    _some(points)
    ordered = sorted(points, key=lambda point: (-point.reward, cost(point)))
    best, worst = ordered[0], ordered[-1]
    dear, cheap = max(cost(point) for point in points), min(cost(point) for point in points)
    if dear == cheap or best.reward == worst.reward:
        return best

    # On these axes the chord is the diagonal, and the distance above it is their difference over the square root of 2.
    def above(point: P) -> float:
        return (point.reward - worst.reward) / (best.reward - worst.reward) - (cost(point) - cheap) / (dear - cheap)

    return max(ordered, key=above)


def choose_trial(points: Iterable[P], trial: int) -> P:
    """The point of an Optuna trial.

    Raises:
        StudyError: no point is of that trial.
    """
    numbers = []
    for point in points:
        if point.trial == trial:
            return point
        if point.trial is not None:
            numbers.append(point.trial)
    known = f"the trials go from {min(numbers)} to {max(numbers)}" if numbers else "it has no trials yet"
    raise StudyError(f"The study has no evaluated trial {trial}; {known}.")


def _some(points: Sequence[P]) -> None:
    if not points:
        raise StudyError("The study has no evaluated schedule to choose from yet; search first.")
