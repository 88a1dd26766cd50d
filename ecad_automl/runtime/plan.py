"""What a run does with each slot at each step, which is known before it starts since a schedule is static."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.runtime.blocks import Block
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


class Row(NamedTuple):
    """What is done with each slot of a block at a step; the actions by themselves too, by which programs are found."""

    actions: tuple[Action, ...]
    planned: tuple[Planned, ...]


class StepRows(NamedTuple):
    """What is done at a step in each block, and with the transformer's output."""

    blocks: list[Row]
    output: Planned


class Plan:
    """What a run under a schedule does, block by block: all that the run needs to know of the schedule.

    Args:
        schedule: what to run under.
        blocks: the transformer's, in the order of the schedule's layout.

    Attributes:
        rows: what is done at each step.
        slots: how many there are, the transformer's output aside.
        depths: how many outputs of each slot, and of the transformer, are read later at most.
        coefficients: ``(steps, slots + 1, 2)``, see :attr:`Schedule.coefficients`.
        last_read: ``(steps, slots + 1)``, see :attr:`Schedule.last_read`.
        macs: of each step, for one image.
    """

    def __init__(self, schedule: Schedule, blocks: tuple[Block, ...]) -> None:
        layout, forecast = schedule.layout, schedule.forecast
        self.slots = len(layout)
        self.depths = (
            1 + int(forecast[:, :-1].any()),
            int(schedule.skip.any()) + int(forecast[:, -1].any()),
        )
        self.coefficients = schedule.coefficients
        self.last_read = schedule.last_read
        self.macs: list[int] = (~schedule.skip * layout.constant_macs + schedule.effective @ layout.slot_macs).tolist()
        self._sources, self._blocks = schedule.sources, blocks
        self._planned = plan_of(schedule)
        self.rows = self._by_block(self._planned)

    def keeping(self, depths: tuple[int, int]) -> list[StepRows]:
        """What is done at each step where so many outputs of each slot, and of the transformer, are kept."""
        return self._by_block(keeping(self._planned, self._sources, depths))

    def _by_block(self, plan: list[list[Planned]]) -> list[StepRows]:
        rows = []
        for step in plan:
            parts = [tuple(step[block.first : block.first + len(block.components)]) for block in self._blocks]
            rows.append(StepRows([Row(tuple([one.action for one in part]), part) for part in parts], step[-1]))
        return rows


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


def keeping(plan: list[list[Planned]], sources: NDArray[np.intp], depths: tuple[int, int]) -> list[list[Planned]]:
    """The same work with everything kept that any schedule could go on from, whether this one reads it or not.

    Args:
        plan: see :func:`plan_of`.
        sources: ``(2, steps, slots + 1)``, see :attr:`Schedule.sources`.
        depths: how many outputs of each slot, and of the transformer, to keep: 0, 1 or 2.
    """
    last_two = sources.tolist()
    kept = []
    for step, row in enumerate(plan):
        planned = []
        for slot, entry in enumerate(row):
            depth = depths[slot == len(row) - 1]
            if entry.action in (Action.COMPUTE, Action.STORE):
                outdated = last_two[depth - 1][step][slot] if depth else -1
                new = Action.STORE if depth else Action.COMPUTE
                planned.append(Planned(new, frees=(outdated,) if outdated >= 0 else ()))
            else:
                planned.append(entry._replace(frees=()))
        kept.append(planned)
    return kept
