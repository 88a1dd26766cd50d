"""What a run does with each slot at each step, which is known before it starts since a schedule is static."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule


class Action(IntEnum):
    """What to do with one slot at one step."""

    #: Compute the output; nobody uses it later.
    COMPUTE = 0
    #: Compute the output and keep it.
    STORE = 1
    #: Use the last kept output.
    REUSE = 2
    #: Use a forecast from the last two kept outputs.
    FORECAST = 3
    #: Neither compute nor use: nobody reads the output at this step.
    SKIP = 4


class Planned(NamedTuple):
    """What is done with one slot at one step.

    Args:
        action: what to do.
        sources: the steps whose outputs are used: the last one, and for a forecast the one before.
        frees: of those, the ones that nobody reads any more; and, where the output is kept though nobody reads it, the
            step whose output it takes the place of.
        coefficients: by how much each source counts in a forecast.
    """

    action: Action
    sources: tuple[int, ...] = ()
    frees: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = ()


def actions(schedule: Schedule) -> NDArray[np.uint8]:
    """``(steps, slots + 1)`` values of :class:`Action`; the last column is of the transformer's output."""
    fresh = np.where(schedule.last_read >= 0, Action.STORE, Action.COMPUTE)
    cached = np.where(schedule.forecast, Action.FORECAST, np.where(schedule.used, Action.REUSE, Action.SKIP))
    computed = np.column_stack([schedule.effective, ~schedule.skip])
    result: NDArray[np.uint8] = np.where(computed, fresh, cached).astype(np.uint8)
    return result


def plan_of(schedule: Schedule) -> list[list[Planned]]:
    """For each step what is done with each slot of the layout and, last, with the transformer's output."""
    sources, last_read, coefficients = (
        array.tolist() for array in (schedule.sources, schedule.last_read, schedule.coefficients)
    )
    plan = []
    for step, row in enumerate(actions(schedule).tolist()):
        planned = []
        for slot, value in enumerate(row):
            action = Action(value)
            count = {Action.REUSE: 1, Action.FORECAST: 2}.get(action, 0)
            used = tuple(sources[number][step][slot] for number in range(count))
            frees = tuple(source for source in used if last_read[source][slot] == step)
            scales = tuple(coefficients[step][slot]) if action is Action.FORECAST else ()
            planned.append(Planned(action, used, frees, scales))
        plan.append(planned)
    return plan


def keeping(schedule: Schedule, plan: list[list[Planned]], depths: tuple[int, int]) -> list[list[Planned]]:
    """The same work with everything kept that any schedule could go on from, whether this one reads it or not.

    Args:
        schedule: whose plan it is.
        plan: see :func:`plan_of`.
        depths: how many outputs of each slot, and of the transformer, to keep: 0, 1 or 2.
    """
    sources = schedule.sources.tolist()
    kept = []
    for step, row in enumerate(plan):
        planned = []
        for slot, entry in enumerate(row):
            depth = depths[slot == len(row) - 1]
            if entry.action in (Action.COMPUTE, Action.STORE):
                outdated = sources[depth - 1][step][slot] if depth else -1
                new = Action.STORE if depth else Action.COMPUTE
                planned.append(Planned(new, frees=(outdated,) if outdated >= 0 else ()))
            else:
                planned.append(entry._replace(frees=()))
        kept.append(planned)
    return kept
