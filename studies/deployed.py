"""Schedules that other engines run: each step is computed whole, or its first block alone, by one mask for a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import of_whole_steps, whole_steps_of
from studies.config import SearchConfig
from studies.cost import Cost
from studies.drift_seeds import step_paths
from studies.forecast_seeds import ForecastSeeds, least_error_front
from studies.seeds import first_schedules
from studies.warm_start import WarmStart


def as_deployed(schedule: Schedule) -> Schedule | None:
    """What an engine makes of a schedule; None where it is not of whole steps. What that forecasts is reused."""
    mask = whole_steps_of(schedule)
    return None if mask is None else of_whole_steps(schedule.layout, mask)


def deployed_seeds(seeds: Mapping[str, Schedule]) -> dict[str, Schedule]:
    """Those that engines can run, as they do it, distinct."""
    distinct: dict[Schedule, str] = {}
    for name, schedule in seeds.items():
        if (found := as_deployed(schedule)) is not None:
            distinct.setdefault(found, name)
    return {name: schedule for schedule, name in distinct.items()}


def deployed_of(schedules: Iterable[Schedule]) -> list[Schedule]:
    """The same, of schedules without names."""
    return list(deployed_seeds({str(number): each for number, each in enumerate(schedules)}).values())


def deployed_start(start: WarmStart) -> WarmStart:
    """What other studies know of schedules that engines can run."""
    kept = [index for index, schedule in enumerate(start.evaluated) if as_deployed(schedule) is not None]
    evaluated = tuple(start.evaluated[index] for index in kept)
    log_drop = start.log_drop[np.array(kept, dtype=np.intp)]
    return replace(start, seeds=deployed_seeds(start.seeds), evaluated=evaluated, log_drop=log_drop)


def deployed_first(
    layout: Layout, drift: Drift, config: SearchConfig, cost: Cost, known: Mapping[str, Schedule]
) -> dict[str, Schedule]:
    """Named seeds as of :func:`~studies.seeds.first_schedules`, twice as many of least drift: there are no others."""
    more = replace(config, drift_seeds=0, step_seeds=2 * config.step_seeds)
    return deployed_seeds(first_schedules(layout, drift, more, cost, known))


def least_drift_masks(drift: Drift, layout: Layout) -> list[Schedule]:
    """For 1 computed step, 2 and so on to all the mask of least drift of the transformer's output."""
    error = drift.distance.mean(axis=0) if drift.output is None else drift.output
    return [of_whole_steps(layout, mask) for mask in step_paths(error.astype(np.float64))]


def quick_masks(drift: Drift, layout: Layout, seeds: ForecastSeeds) -> list[tuple[Schedule, float]]:
    """Of these the ones that no other one beats in MACs and predicted error, from dear to cheap."""
    return least_error_front(seeds, least_drift_masks(drift, layout))
