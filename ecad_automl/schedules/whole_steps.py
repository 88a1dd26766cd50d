"""Schedules of whole steps: what an engine runs that takes a mask of steps, 1 to compute and 0 to go on with the cache.

Such an engine may compute the first block in a step of 0 as well, as cache-dit does (its ``Fn_compute_blocks``, at
least 1), and all that is outside of the blocks. So a schedule of whole steps computes everything in a step, or its
first block alone, or is skipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule


def engine_floor(layout: Layout) -> Bits:
    """``(slots,)``: those that are computed in a step of 0 too: all of the first block.

    Raises:
        ScheduleError: there is no other block.
    """
    if len(layout.blocks) < 2:
        raise ScheduleError(
            f"{layout.transformer} has one block, which engines compute in every step; whole steps need at least two."
        )
    floor: Bits = layout.block_index == 0
    return floor


def of_whole_steps(layout: Layout, mask: ArrayLike) -> Schedule:
    """The schedule that a mask stands for: everything is computed where it is 1, and the first block alone elsewhere.

    Args:
        layout: the slots.
        mask: ``(steps,)`` of 0 and 1; the first step is computed whatever it says.

    Raises:
        ScheduleError: the mask is none, or the transformer has one block.
    """
    computed = np.asarray(mask, dtype=np.bool_)
    if computed.ndim != 1 or not len(computed):
        raise ScheduleError(f"A mask of steps has the shape {computed.shape}, but (steps,) is needed, such as (20,).")
    return Schedule(layout, np.where(computed[:, None], True, engine_floor(layout)))


def whole_steps_of(schedule: Schedule) -> Bits | None:
    """``(steps,)``: the mask of a schedule of whole steps, its forecasts left aside; None where it is none.

    None too where guidance branches are left out, which no mask says.
    """
    if not schedule.guidance.is_full:
        return None
    rows: Bits = schedule.effective
    whole: Bits = np.all(rows, axis=1)
    rest = rows if len(schedule.layout.blocks) < 2 else rows[:, ~engine_floor(schedule.layout)]
    return None if np.any(rest[~whole]) else whole


def projected(schedule: Schedule) -> Bits:
    """``(steps,)``: the mask that is nearest to any schedule: of about its MACs, the steps that it computes most of.

    What it does within a step, forecasts and does without guidance is lost; how good the mask is has to be measured.
    """
    layout, steps = schedule.layout, schedule.steps
    floor = of_whole_steps(layout, np.arange(steps) < 1)
    by_step: NDArray[np.float64] = schedule.effective.mean(axis=1)
    if layout.step_macs:
        by_step = schedule.macs_by_step / layout.step_macs
        least = float(floor.macs_by_step[1] / layout.step_macs) if steps > 1 else 0.0
    else:
        least = float(engine_floor(layout).mean())
    count = round((float(by_step.sum()) - steps * least) / (1.0 - least))
    # The first step is computed by every schedule, so it is among the first of the sorted ones.
    order = np.argsort(-by_step, kind="stable")
    mask = np.zeros(steps, dtype=np.bool_)
    mask[order[: min(max(count, 1), steps)]] = True
    mask[0] = True
    return mask
