"""Schedules as grids of bits, such as operators breed and models learn from.

Beside the slots, a grid has a column that says which steps are skipped, and for each component and the transformer's
output two that say the level of damping, in Gray code: neighboring levels differ by one bit. What has no effect is
filled in by what stands next to it, so that a change which gives it one is a small change: what a skipped step would
compute is all, and what would be forecast is forecast as in the steps before or after.

Where guidance is searched too, four more columns say what is done about it: whether both branches are computed, and if
not, whether there is no guidance, and the level of damping of the last difference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.guidance import BOTH, KEEP, NONE, Guidance, effective_guidance

Bits = NDArray[np.bool_]
Levels = NDArray[np.uint8]

#: Bits of a level of damping.
LEVEL_BITS = 2
#: Bits of what is done about guidance.
GUIDANCE_BITS = 2 + LEVEL_BITS


class Actions(NamedTuple):
    """What ``n`` schedules do.

    Args:
        compute: ``(n, steps, slots)`` bool.
        skip: ``(n, steps)`` bool; never the first step.
        damping: ``(n, steps, components + 1)`` levels.
        guidance: ``(n, steps)``: what a run really does about it, see :mod:`ecad_automl.schedules.guidance`.
    """

    compute: Bits
    skip: Bits
    damping: Levels
    guidance: NDArray[np.uint8]

    @property
    def alone(self) -> Bits:
        """``(n, steps)`` bool: where the conditional guidance branch is computed alone."""
        found: Bits = ~self.skip & (self.guidance != BOTH)
        return found


def gene_columns(slots: int, components: int, guided: bool = False) -> int:
    """How many columns a grid has, those of guidance included or not."""
    return slots + 1 + LEVEL_BITS * (components + 1) + GUIDANCE_BITS * guided


def actions_of(genes: Bits, slots: int, guided: bool = False) -> Actions:
    """The inverse of ``Schedule.genes``, for any genes ``(n, steps, columns)``; of the slots alone, those of reuse.

    Args:
        genes: them.
        slots: how many of the columns are slots.
        guided: whether the last columns are of guidance, as ``Schedule.guided_genes`` has them.
    """
    compute, shape = genes[..., :slots], genes.shape[:-1]
    both = np.full(shape, BOTH, dtype=np.uint8)
    if genes.shape[-1] == slots:
        return Actions(compute, np.zeros(shape, dtype=np.bool_), np.zeros((*shape, 1), dtype=np.uint8), both)
    skip = genes[..., slots].copy()
    skip[..., 0] = False
    end = genes.shape[-1] - GUIDANCE_BITS * guided
    guidance = effective_guidance(_guidance_of(genes[..., end:]), skip) if guided else both
    return Actions(compute & ~skip[..., None], skip, levels_of(genes[..., slots + 1 : end]), guidance)


def guidance_bits(guidance: Guidance) -> Bits:
    """``(steps, 4)``: whether both branches are computed, there is no guidance, and a level of damping."""
    kept = guidance.kept
    told = np.stack([guidance.alone, kept & (guidance.sources[1] >= 0)], axis=1)
    values = np.stack([guidance.actions == NONE, guidance.levels], axis=1).astype(np.uint8)
    none, levels = filled_levels(values, told, np.arange(2)).T
    return np.column_stack([~guidance.alone, none.astype(np.bool_), level_bits(levels[:, None])])


def _guidance_of(bits: Bits) -> NDArray[np.uint8]:
    """The inverse of :func:`guidance_bits`: actions."""
    alone = np.where(bits[..., 1], NONE, KEEP + levels_of(bits[..., 2:])[..., 0])
    return np.where(bits[..., 0], BOTH, alone).astype(np.uint8)


def plan_rows(count: int, steps: int) -> NDArray[np.intp]:
    """``(count,)``: the rows of a grid of ``steps`` at which a run of fewer has its own, at the same shares of it."""
    return np.arange(count) * steps // count


def spread(genes: Bits, steps: int) -> Bits:
    """Grids of schedules of one number of steps as grids of a larger one.

    Args:
        genes: ``(n, count, columns)``.
        steps: rows to have.

    Returns:
        ``(n, steps, columns + 1)``: each row lasts to the next one, and a last column says which rows are not there.
    """
    count = genes.shape[1]
    rows = plan_rows(count, steps)
    absent = np.ones(steps, dtype=np.bool_)
    absent[rows] = False
    lasting = genes[:, np.searchsorted(rows, np.arange(steps), side="right") - 1]
    column = np.broadcast_to(absent[None, :, None], (len(genes), steps, 1))
    return np.concatenate([lasting, column], axis=2)


def counts_of(genes: Bits, counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """``(n,)``: places in ``counts`` of the numbers of steps that grids as of :func:`spread` have, or are nearest to.

    The first row is always there.
    """
    there = 1 + (~genes[:, 1:, -1]).sum(axis=1)
    places: NDArray[np.intp] = np.abs(there[:, None] - counts).argmin(axis=1)
    return places


def level_bits(levels: NDArray[np.integer[Any]]) -> Bits:
    """``(..., 2 k)``: the Gray code of ``(..., k)`` levels of damping."""
    bits = np.stack([levels >= 2, (levels == 1) | (levels == 2)], axis=-1)
    return bits.reshape(*levels.shape[:-1], LEVEL_BITS * levels.shape[-1])


def levels_of(bits: Bits) -> Levels:
    """``(..., k)`` levels of ``(..., 2 k)`` bits."""
    high, low = bits[..., ::LEVEL_BITS], bits[..., 1::LEVEL_BITS]
    levels: Levels = (2 * high + (high ^ low)).astype(np.uint8)
    return levels


def filled_levels(damping: Levels, may_forecast: Bits, group: NDArray[np.intp]) -> Levels:
    """Levels of damping; where nothing can be forecast, those of the step before that or else the next step.

    Args:
        damping: ``(steps, columns)``.
        may_forecast: ``(steps, rows)``.
        group: ``(rows,)``: the column of each row.
    """
    told = np.stack([may_forecast[:, group == column].any(axis=1) for column in range(damping.shape[1])], axis=1)
    step = np.arange(len(damping))[:, None]
    before = np.maximum.accumulate(np.where(told, step, -1), axis=0)
    first = np.where(told.any(axis=0), told.argmax(axis=0), 0)
    levels: Levels = np.take_along_axis(damping, np.where(before < 0, first, before), axis=0)
    return levels
