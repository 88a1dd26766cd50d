"""Schedules of least predicted error where outputs are forecast and steps skipped: a front that needs no image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.schedules.forecast import DAMPING, Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies.drift_seeds import MOST
from studies.forecast_paths import best_paths, shared_out

Floats = NDArray[np.float64]


class ForecastSeeds:
    """Makes schedules whose uses have the least summed error that is expected before any image is made.

    At each step the slots of a component share their level of damping: of each use the level of least error, or of
    those at one step the level of least summed error.

    Args:
        forecasts: of an uncached run.
        layout: the slots.
    """

    def __init__(self, forecasts: Forecasts, layout: Layout) -> None:
        self._forecasts, self._layout = forecasts, layout
        self._errors = forecasts.expected_errors()

    def skipping(self) -> list[Schedule]:
        """The best choice of 1 step to run whole, of 2 and so on to all; the others are skipped."""
        _, chosen = best_paths(self._errors[:, -1].min(axis=0)[None])
        everything = np.ones((self._forecasts.steps, len(self._layout)), dtype=np.bool_)
        return [self._schedule(everything, ~run) for run in chosen[0]]

    def using(self, prices: ArrayLike, count: int, groups: ArrayLike | None = None) -> list[Schedule]:
        """Schedules that skip no step but forecast slots.

        Args:
            prices: ``(slots,)``: what one computation of each costs, not negative; all alike where none costs anything.
            count: how many schedules are wanted, evenly spread in the logarithm of their cost.
            groups: ``(slots,)`` integers from 0: slots of one group share their compute steps; None ties no slots.

        Returns:
            Distinct schedules, from dear to cheap; ``count`` unless there are not that many.
        """
        steps, component = self._forecasts.steps, self._layout.component_index
        group = np.arange(len(self._layout)) if groups is None else np.asarray(groups)
        error = np.zeros((group.max() + 1, steps, steps, steps), dtype=np.float32)
        for one, kind in np.unique(np.stack([group, component]), axis=1).T:
            members = np.flatnonzero((group == one) & (component == kind))
            error[one] += self._errors[:, members].sum(axis=1).min(axis=0)
        least, chosen = best_paths(error)
        price = np.asarray(prices, dtype=np.float64)
        price = np.maximum(price, 1e-3 * price.max()) if price.any() else np.ones(len(group))
        targets = np.geomspace(max(MOST, 1 / steps), 1 / steps, count) * price.sum() * steps
        found = []
        for counts in shared_out(least, np.bincount(group, weights=price), targets):
            compute = chosen[group, counts[group] - 1].T
            found.append(self._schedule(compute, np.zeros(steps, dtype=np.bool_)))
        return list(dict.fromkeys(found))

    def predicted_error(self, schedule: Schedule) -> float:
        """The summed error to expect of a schedule: of the transformer's output, by the scheduler's response.

        Slots count as their share in the error that all of them would make together.
        """
        steps, rows = np.nonzero(schedule.used)
        last, before = _sources(schedule, steps, rows)
        levels = schedule.damping[steps, self._column[rows]]
        error = self._errors[levels, rows, steps, last, before].astype(np.float64)
        return float(np.where(rows == len(self._layout), error, error / len(self._layout)).sum())

    @property
    def _column(self) -> NDArray[np.intp]:
        """``(slots + 1,)``: of the damping."""
        return np.append(self._layout.component_index, len(self._layout.components))

    def _schedule(self, compute: Bits, skip: Bits) -> Schedule:
        """With the level of least summed error for each step and component."""
        undamped = Schedule(self._layout, compute, skip)
        steps, rows = np.nonzero(undamped.used)
        errors = self._errors[:, rows, steps, *_sources(undamped, steps, rows)]
        summed = np.zeros((len(DAMPING), undamped.steps, len(self._layout.components) + 1))
        for of_level, error in zip(summed, errors, strict=True):
            np.add.at(of_level, (steps, self._column[rows]), error)
        return Schedule(self._layout, compute, skip, summed.argmin(axis=0), self._forecasts)


def _sources(
    schedule: Schedule, steps: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The two steps that each use is from; the same one twice where only the first step was computed."""
    last, before = schedule.sources[:, steps, rows]
    return last, np.where(before < 0, last, before)
