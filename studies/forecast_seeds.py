"""Schedules of least predicted error where outputs are forecast and steps skipped: a front that needs no image."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies.drift_seeds import MOST
from studies.forecast_paths import best_paths, shared_out

Floats = NDArray[np.float64]


#: Levels of damping where one step stands between two computed ones, two do, and more.
_BY_SPAN = (3, 2, 1)


#: Schedules of a quick front cost at least this share of the MACs: below it, images of the bundled models fall apart.
_LEAST = 0.2


class ForecastSeeds:
    """Makes schedules whose uses have the least summed error that is expected before any image is made.

    The drift knows of errors along the uncached run. Under a schedule what is computed already bears the errors of the
    uses before it, and a forecast carries their trend on, the further the more steps there are to the next computed
    one: undamped, schedules that save more than twofold collapse, with all the less error by the drift. So forecasts
    are damped by the number of steps in a row that use the cache (``benchmarks/search/baselines.py``).

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

        Errors of slots partly add up: they count as their sum over the root of the number of slots, at which schedules
        that skip and schedules that use slots look as good as they are on the bundled model.
        """
        steps, rows = np.nonzero(schedule.used)
        last, before = _sources(schedule, steps, rows)
        levels = schedule.damping[steps, self._column[rows]]
        error = self._errors[levels, rows, steps, last, before].astype(np.float64)
        return float(np.where(rows == len(self._layout), error, error / np.sqrt(len(self._layout))).sum())

    @property
    def _column(self) -> NDArray[np.intp]:
        """``(slots + 1,)``: of the damping."""
        return np.append(self._layout.component_index, len(self._layout.components))

    def _schedule(self, compute: Bits, skip: Bits) -> Schedule:
        """With forecasts that are damped by how many uses there are in a row; slots of a component go by their mean."""
        undamped = Schedule(self._layout, compute, skip)
        used = undamped.used
        span = _spans_of(used)
        columns = [self._column == column for column in range(len(self._layout.components) + 1)]
        total = np.stack([(span * used)[:, mine].sum(axis=1) for mine in columns], axis=1)
        count = np.stack([used[:, mine].sum(axis=1) for mine in columns], axis=1)
        mean = np.rint(total / np.maximum(count, 1)).astype(np.intp)
        levels = np.array(_BY_SPAN)[mean.clip(1, len(_BY_SPAN)) - 1]
        return Schedule(self._layout, compute, skip, levels, self._forecasts)


def quick_schedules(seeds: ForecastSeeds, layout: Layout, count: int = 8) -> list[tuple[Schedule, float]]:
    """Those that skip steps, and some that use slots, as far as none beats another in MACs and predicted error.

    Args:
        seeds: what makes them.
        layout: the slots.
        count: how many of each kind that uses slots to try.

    Returns:
        Schedules with predicted errors, from dear to cheap: from one that leaves out anything at all to about a fifth
        of the MACs.
    """
    using = [seeds.using(layout.slot_macs, count, groups) for groups in (layout.component_index, None)]
    tried = {each: seeds.predicted_error(each) for each in (*seeds.skipping(), *chain.from_iterable(using))}
    front: list[tuple[Schedule, float]] = []
    best = np.inf
    for schedule in sorted(tried, key=lambda each: (each.macs, tried[each])):
        if tried[schedule] < best and _LEAST <= schedule.mac_fraction < 1.0:
            best = tried[schedule]
            front.append((schedule, best))
    return front[::-1]


def _spans_of(used: Bits) -> NDArray[np.intp]:
    """``(steps, rows)``: in how many steps in a row, this one among them, the cache is used; 0 where it is not."""
    ahead = np.zeros(used.shape, dtype=np.intp)
    behind = np.zeros(used.shape, dtype=np.intp)
    for step in range(len(used)):
        ahead[step] = np.where(used[step], 1 + (ahead[step - 1] if step else 0), 0)
    for step in reversed(range(len(used))):
        behind[step] = np.where(used[step], 1 + (behind[step + 1] if step + 1 < len(used) else 0), 0)
    return np.where(used, ahead + behind - 1, 0)


def _sources(
    schedule: Schedule, steps: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The two steps that each use is from; the same one twice where only the first step was computed."""
    last, before = schedule.sources[:, steps, rows]
    return last, np.where(before < 0, last, before)
