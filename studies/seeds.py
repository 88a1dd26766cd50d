"""The first schedules of a search: extremes, published heuristics and drift-optimal ones."""

from __future__ import annotations

import numpy as np

from ecad_automl.drift import Drift
from ecad_automl.heuristics import default_heuristics
from ecad_automl.layout import Layout
from ecad_automl.schedule import Schedule
from studies.config import SearchConfig
from studies.drift_seeds import drift_optimal_seeds

__all__ = ["ALL_REUSE", "UNCACHED", "all_reuse", "first_schedules"]

UNCACHED = "uncached"
ALL_REUSE = "all-reuse"


def all_reuse(layout: Layout, steps: int) -> Schedule:
    """The cheapest schedule: everything is computed in the first step and reused ever after."""
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    return Schedule(layout, compute)


def first_schedules(layout: Layout, drift: Drift, config: SearchConfig) -> dict[str, Schedule]:
    """Named seeds, distinct by effect: the two extremes, heuristics and drift-optimal schedules, as configured."""
    steps = drift.steps
    named = {UNCACHED: Schedule.all_compute(layout, steps), ALL_REUSE: all_reuse(layout, steps)}
    if config.heuristic_seeds:
        named |= default_heuristics(layout, steps)
    if config.drift_seeds:
        named |= _drift_seeds(layout, drift, config.drift_seeds)
    distinct: dict[Schedule, str] = {}
    for name, schedule in named.items():
        distinct.setdefault(schedule, name)
    return {name: schedule for schedule, name in distinct.items()}


def _drift_seeds(layout: Layout, drift: Drift, count: int) -> dict[str, Schedule]:
    """Drift-optimal schedules, in equal parts with steps chosen for all slots alike, by component, and by slot.

    The drift of a slot is measured in an uncached run, where its inputs are fresh. Slots that are recomputed together
    see fresh inputs too, so the coarser schedules often do better than their drift says.
    """
    slots = len(layout)
    groupings = {"steps": np.zeros(slots, np.intp), "components": layout.component_index, "slots": np.arange(slots)}
    named: dict[str, Schedule] = {}
    for place, (name, group) in enumerate(groupings.items()):
        share = (count + len(groupings) - 1 - place) // len(groupings)
        if share == 0:
            continue
        members = np.eye(int(group.max()) + 1)[group].T
        together = np.tensordot(members, drift.distance.astype(np.float64), axes=1)
        bits = drift_optimal_seeds(together, members @ layout.slot_macs, share)
        named |= {f"drift-{name}-{i}": Schedule(layout, row[:, group]) for i, row in enumerate(bits, start=1)}
    return named
