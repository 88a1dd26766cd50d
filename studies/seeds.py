"""The first schedules of a search: extremes, published heuristics and drift-optimal ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecad_automl.drift import Drift
from ecad_automl.heuristics import default_heuristics
from ecad_automl.layout import Layout
from ecad_automl.schedule import Schedule
from studies.config import SearchConfig
from studies.cost import Cost
from studies.drift_seeds import mixed_drift_seeds

__all__ = ["ALL_REUSE", "UNCACHED", "all_reuse", "first_schedules"]

UNCACHED = "uncached"
ALL_REUSE = "all-reuse"


def all_reuse(layout: Layout, steps: int) -> Schedule:
    """The cheapest schedule: everything is computed in the first step and reused ever after."""
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    return Schedule(layout, compute)


def first_schedules(
    layout: Layout, drift: Drift, config: SearchConfig, cost: Cost, known: Mapping[str, Schedule] | None = None
) -> dict[str, Schedule]:
    """Named seeds, distinct by effect: the two extremes, known schedules, and as configured the rest.

    Args:
        layout: the slots.
        drift: of every slot.
        config: says whether heuristics are wanted, and how many drift-optimal schedules.
        cost: what is minimized.
        known: schedules from elsewhere, by origin; they are the best that is known, so they come first.
    """
    steps = drift.steps
    named = {UNCACHED: Schedule.all_compute(layout, steps), ALL_REUSE: all_reuse(layout, steps), **(known or {})}
    if config.heuristic_seeds:
        named |= default_heuristics(layout, steps)
    if config.drift_seeds:
        distance = drift.distance.astype(np.float64)
        bits = mixed_drift_seeds(distance, cost.prices, layout.component_index, config.drift_seeds)
        named |= {f"drift-{index}": Schedule(layout, row) for index, row in enumerate(bits, start=1)}
    distinct: dict[Schedule, str] = {}
    for name, schedule in named.items():
        distinct.setdefault(schedule, name)
    return {name: schedule for schedule, name in distinct.items()}
