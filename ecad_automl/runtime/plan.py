"""What a run does with each slot at each step, which is known before it starts since a schedule is static."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.runtime.blocks import Block
from ecad_automl.runtime.guided import Branch
from ecad_automl.schedules.guidance import read_by
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
        halves: for each source, whether only the conditional half of what is kept is used.

    Where only the conditional half of a batch of both guidance branches is computed, and kept beside the other half of
    what was kept before, that is the source.
    """

    action: Action
    sources: tuple[int, ...] = ()
    frees: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = ()
    halves: tuple[bool, ...] = ()


class Row(NamedTuple):
    """What is done with each slot of a block at a step; the actions by themselves too, by which programs are found."""

    actions: tuple[Action, ...]
    planned: tuple[Planned, ...]


class StepRows(NamedTuple):
    """What is done at a step in each block, and with the transformer's output; and by itself where all is reused."""

    blocks: list[Row]
    output: Planned
    reused: tuple[tuple[Action, ...], ...] | None = None


class Plan:
    """What a run under a schedule does, block by block: all that the run needs to know of the schedule.

    Args:
        schedule: what to run under.
        blocks: the transformer's, in the order of the schedule's layout.

    Attributes:
        slots: how many there are, the transformer's output aside.
        depths: how many outputs of each slot, and of the transformer, are read later at most.
        coefficients: ``(steps, slots + 1, 2)``, see :attr:`Schedule.coefficients`.
        last_read: ``(steps, slots + 2)``, see :attr:`Schedule.last_read`; the last is of differences of guidance.
        guidance: what is done about it.
        skips: ``(steps,)`` bool: where the transformer is not entered.
        computes_all: whether runs are to be those without a schedule, bit for bit.
    """

    def __init__(self, schedule: Schedule, blocks: tuple[Block, ...]) -> None:
        layout, forecast = schedule.layout, schedule.forecast
        self.slots = len(layout)
        self.depths = (
            1 + int(forecast[:, :-1].any()),
            int(schedule.skip.any()) + int(forecast[:, -1].any()),
        )
        self.guidance = schedule.guidance
        self.skips = schedule.skip
        self.computes_all = bool(schedule.effective.all()) and schedule.guidance.is_full
        self.coefficients = schedule.coefficients
        self.last_read = np.column_stack([schedule.last_read, schedule.guidance.last_read])
        self._schedule, self._blocks = schedule, blocks
        self._planned = plan_of(schedule)
        together = self._by_block(self._planned)
        #: What is done at each step in calls of each kind.
        self.rows = dict.fromkeys(Branch, together)
        if not schedule.guidance.is_full:
            self.rows |= {
                branch: self._by_block(plan_of(schedule, branch))
                for branch in (Branch.CONDITIONAL, Branch.UNCONDITIONAL)
            }

    @property
    def macs(self) -> list[int]:
        """Those of each step, for one image; only runs that share steps count them."""
        found: list[int] = self._schedule.macs_by_step.tolist()
        return found

    @property
    def work(self) -> list[bytes]:
        """Of each step all that its output depends on beside what is given: what is computed, and what is used how."""
        schedule = self._schedule
        computed = np.column_stack([schedule.effective, ~schedule.skip])
        rows = zip(computed, schedule.used, schedule.forecast, self.coefficients, strict=True)
        return [
            b"".join((*(part.tobytes() for part in (does, used, forecast)), scales[forecast].tobytes()))
            for does, used, forecast, scales in rows
        ]

    def keeping(self, depths: tuple[int, int]) -> list[StepRows]:
        """What is done at each step where so many outputs of each slot, and of the transformer, are kept."""
        return self._by_block(keeping(self._planned, self._schedule.sources, depths))

    def keeping_whole(self, everything: list[StepRows]) -> dict[Branch, list[StepRows]]:
        """:attr:`rows`, but that outputs of the transformer are kept as where everything is."""
        return {
            branch: [row._replace(output=kept.output) for row, kept in zip(rows, everything, strict=True)]
            for branch, rows in self.rows.items()
        }

    def _by_block(self, plan: list[list[Planned]]) -> list[StepRows]:
        rows = []
        for step in plan:
            parts = [tuple(step[block.first : block.first + len(block.components)]) for block in self._blocks]
            found = [Row(tuple([one.action for one in part]), part) for part in parts]
            reused = None
            if not any(one.action in _FRESH for one in step[:-1]):
                reused = tuple([row.actions for row in found])
            rows.append(StepRows(found, step[-1], reused))
        return rows


def plan_of(schedule: Schedule, branch: Branch = Branch.TOGETHER) -> list[list[Planned]]:
    """For each step what is done with each slot of the layout and, last, with the transformer's output.

    Args:
        schedule: whose plan it is.
        branch: of which calls. Those of the conditional guidance branch alone leave nothing beside what other branches
            have; those of the other one use what they have kept last where only the conditional one was computed since.
    """
    does = _does(schedule, branch)
    last_read = read_by(does.used, does.forecast, does.sources)
    full = np.ones_like(does.used)
    if branch is Branch.TOGETHER:
        last_read = schedule.last_read
        full[:, :-1] = ~schedule.guidance.alone[:, None] | schedule.taken_over
    fresh = np.where(last_read >= 0, Action.STORE, Action.COMPUTE)
    cached = np.where(does.forecast, Action.FORECAST, np.where(does.used, Action.REUSE, Action.SKIP))
    action_rows = np.where(does.computed, fresh, cached)
    coefficients, alone = schedule.coefficients.tolist(), schedule.guidance.alone
    plan = []
    for step, row in enumerate(action_rows.tolist()):
        planned = []
        halves = branch is Branch.TOGETHER and alone[step]
        for slot, value in enumerate(row):
            action = Action(value)
            merges = halves and action is Action.STORE and full[step, slot]
            count = {Action.REUSE: 1, Action.FORECAST: 2, Action.STORE: int(merges and slot < len(row) - 1)}.get(
                action, 0
            )
            used = tuple(does.sources[:count, step, slot].tolist())
            frees = tuple(source for source in dict.fromkeys(used) if last_read[source, slot] == step)
            scales = tuple(coefficients[step][slot]) if action is Action.FORECAST else ()
            halved = tuple(bool(full[source, slot]) for source in used) if halves and action in _USED else ()
            planned.append(Planned(action, used, frees, scales, halved if any(halved) else ()))
        plan.append(planned)
    return plan


_FRESH = (Action.COMPUTE, Action.STORE)
_USED = (Action.REUSE, Action.FORECAST)


class _Does(NamedTuple):
    """What is done in the calls of a branch: ``(steps, slots + 1)``, see :class:`Schedule` of the same names."""

    computed: NDArray[np.bool_]
    used: NDArray[np.bool_]
    forecast: NDArray[np.bool_]
    sources: NDArray[np.intp]


def _does(schedule: Schedule, branch: Branch) -> _Does:
    computed = np.column_stack([schedule.effective, ~schedule.skip])
    if branch is not Branch.UNCONDITIONAL:
        return _Does(computed, schedule.used, schedule.forecast, schedule.sources)
    # In each step that is not skipped there is an output, be it made of the conditional one.
    here = np.repeat(schedule.guidance.both[:, None], computed.shape[1], axis=1)
    here[:, -1] = True
    return _Does(
        computed & here,
        schedule.used & here,
        schedule.forecast & here,
        _own_sources(schedule.sources, computed & here),
    )


def _own_sources(sources: NDArray[np.intp], computed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Where a source was not computed in a branch, what this had kept then."""
    steps = np.arange(len(computed))[:, None]
    last = np.maximum.accumulate(np.where(computed, steps, -1), axis=0)
    rows = np.arange(computed.shape[1])
    return np.where(sources >= 0, last[sources, rows], -1)


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
