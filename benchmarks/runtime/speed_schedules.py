"""Schedules whose time is measured beside their MACs: what they are good for does not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.schedules.ecad_format import read_ecad
from ecad_automl.schedules.guidance import BOTH, KEEP
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.skips import with_skips

STEPS = 20


def forecast(schedule: Schedule) -> Schedule:
    """The schedule with a forecast in the place of each reuse that has two outputs before it."""
    layout, steps = schedule.layout, schedule.steps
    levels = np.full((steps, len(layout.components) + 1), 3)
    weights = np.tile([1.5, -0.5], (steps, len(layout) + 1, 1))
    return Schedule(layout, schedule.compute, schedule.skip, levels, weights)


def skipping(layout: Layout, n: int) -> Schedule:
    """The transformer is run in every n-th step."""
    return with_skips(fora(layout, STEPS, n))


def one_branch(layout: Layout) -> dict[str, Schedule]:
    """Schedules by name that leave out a guidance branch in some steps; none where there is one alone."""
    if layout.branches < 2:
        return {}
    everything = np.ones((STEPS, len(layout)), dtype=np.bool_)
    steps = np.arange(STEPS)
    half, most = np.where(steps % 2, KEEP, BOTH), np.where(steps % 4, KEEP, BOTH)
    cached = fora(layout, STEPS, 2).compute
    return {
        "one branch in 1/2 of the steps": Schedule(layout, everything, guidance=half),
        "one branch in 3/4 of the steps": Schedule(layout, everything, guidance=most),
        "one branch in 3/4 of the steps, FORA 2": Schedule(layout, cached, guidance=most),
    }


def random_schedules(layout: Layout, count: int) -> dict[str, Schedule]:
    """Schedules of random bits by name, of different shares of computes."""
    rng = np.random.default_rng(0)
    found = {}
    for number in range(count):
        share = rng.uniform(0.15, 0.7)
        found[f"random {number + 1}"] = Schedule(layout, rng.random((STEPS, len(layout))) < share)
    return found


def fitting(folder: Path | None, layout: Layout) -> dict[str, Schedule]:
    """The schedules of ECAD's authors in a folder that fit a layout, by name."""
    files = sorted(folder.glob("**/*.json")) if folder else []
    read = {f"ECAD {path.stem}": read_ecad(path).schedule for path in files}
    # Their MACs are for their own resolution.
    return {
        name: Schedule(layout, given.compute) for name, given in read.items() if layout.difference(given.layout) is None
    }
