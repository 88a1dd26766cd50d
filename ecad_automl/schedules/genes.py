"""Schedules as grids of bits, such as operators breed and models learn from.

Beside the slots, a grid has a column that says which steps are skipped, and for each component and the transformer's
output two that say the level of damping, in Gray code: neighboring levels differ by one bit. What has no effect is
filled in by what stands next to it, so that a change which gives it one is a small change: what a skipped step would
compute is all, and what would be forecast is forecast as in the steps before or after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Levels, Schedule

#: Bits of a level of damping.
LEVEL_BITS = 2


class Actions(NamedTuple):
    """What ``n`` schedules do.

    Args:
        compute: ``(n, steps, slots)`` bool.
        skip: ``(n, steps)`` bool; never the first step.
        damping: ``(n, steps, components + 1)`` levels.
    """

    compute: Bits
    skip: Bits
    damping: Levels


def gene_columns(slots: int, components: int) -> int:
    """How many columns a grid has."""
    return slots + 1 + LEVEL_BITS * (components + 1)


def genes_of(schedules: Sequence[Schedule], layout: Layout, steps: int) -> Bits:
    """``(n, steps, columns)``: the grids of schedules, the same for those that are equal."""
    genes = np.zeros((len(schedules), steps, gene_columns(len(layout), len(layout.components))), dtype=np.bool_)
    for grid, schedule in zip(genes, schedules, strict=True):
        grid[:, : len(layout)] = schedule.effective | schedule.skip[:, None]
        grid[:, len(layout)] = schedule.skip
        if not schedule.is_plain:
            levels = _filled(schedule)
            grid[:, len(layout) + 1 :: LEVEL_BITS] = levels >= LEVEL_BITS
            grid[:, len(layout) + 2 :: LEVEL_BITS] = (levels == 1) | (levels == LEVEL_BITS)
    return genes


def actions_of(genes: Bits, slots: int) -> Actions:
    """The inverse of :func:`genes_of`, for any genes ``(n, steps, columns)``; of the slots alone, those of reuse."""
    compute = genes[..., :slots]
    if genes.shape[-1] == slots:
        shape = genes.shape[:-1]
        return Actions(compute, np.zeros(shape, dtype=np.bool_), np.zeros((*shape, 1), dtype=np.uint8))
    skip = genes[..., slots].copy()
    skip[..., 0] = False
    high, low = genes[..., slots + 1 :: LEVEL_BITS], genes[..., slots + 2 :: LEVEL_BITS]
    return Actions(compute & ~skip[..., None], skip, (2 * high + (high ^ low)).astype(np.uint8))


def _filled(schedule: Schedule) -> Levels:
    """Levels of damping; where nothing can be forecast, those of the step before that or else the next step."""
    layout = schedule.layout
    group = np.append(layout.component_index, len(layout.components))
    may = schedule.used & (schedule.sources[1] >= 0)
    told = np.stack([may[:, group == column].any(axis=1) for column in range(group.max() + 1)], axis=1)
    step = np.arange(schedule.steps)[:, None]
    before = np.maximum.accumulate(np.where(told, step, -1), axis=0)
    first = np.where(told.any(axis=0), told.argmax(axis=0), 0)
    levels: Levels = np.take_along_axis(schedule.damping, np.where(before < 0, first, before), axis=0)
    return levels
