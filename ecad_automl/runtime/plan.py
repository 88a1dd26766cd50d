"""What a run does with each slot at each step, which is known before it starts since a schedule is static."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Bits, Schedule, held_outputs


class Action(IntEnum):
    """What to do with one slot at one step."""

    #: Compute the output; nobody reuses it.
    COMPUTE = 0
    #: Compute the output and keep it.
    STORE = 1
    #: Return the kept output, which is read again later.
    REUSE = 2
    #: Return the kept output and free it: this is its last reader.
    REUSE_LAST = 3
    #: Neither compute nor reuse: nobody reads the output at this step.
    SKIP = 4


def actions(effective: Bits, readers: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The actions of a run.

    Args:
        effective: ``(steps, slots)`` bool: what is computed; the first row is all True. See
            :func:`ecad_automl.schedules.schedule.effective_compute`.
        readers: ``(slots,)``: index of the one slot that reads each slot's output, or -1 for the residual stream,
            which reads at every step.

    Returns:
        ``(steps, slots)`` values of :class:`Action`.
    """
    # (steps, slots): is the output, fresh or cached, read at this step?
    read = np.where(readers[None, :] >= 0, effective[:, readers], True)
    held = held_outputs(effective, readers)
    fresh = np.where(held, Action.STORE, Action.COMPUTE)
    reused = np.where(held, Action.REUSE, Action.REUSE_LAST)
    result: NDArray[np.uint8] = np.where(effective, fresh, np.where(read, reused, Action.SKIP)).astype(np.uint8)
    return result


def plan_of(schedule: Schedule) -> tuple[tuple[Action, ...], ...]:
    """The actions of a run under a schedule: for each step, one action per slot of the layout."""
    table = actions(schedule.effective, schedule.layout.reader_index)
    return tuple(tuple(Action(int(value)) for value in row) for row in table)
