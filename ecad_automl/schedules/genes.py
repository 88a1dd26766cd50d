"""Schedules as grids of bits, such as operators breed and models learn from.

Beside the slots, a grid has a column that says which steps are skipped, and for each component and the transformer's
output two that say the level of damping, in Gray code: neighboring levels differ by one bit. What has no effect is
filled in by what stands next to it, so that a change which gives it one is a small change: what a skipped step would
compute is all, and what would be forecast is forecast as in the steps before or after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Levels, Schedule

#: Bits of a level of damping.
LEVEL_BITS = 2


@dataclass(frozen=True, eq=False)
class Genomes:
    """Reads the texts by which one study knows its schedules.

    Args:
        layout: the slots.
        steps: of a run.
        load: gives the drift of the study as bytes, None where it has none; called where a schedule forecasts.
    """

    layout: Layout
    steps: int
    load: Callable[[], bytes | None] = lambda: None

    @cached_property
    def _forecasts(self) -> Forecasts:
        data = self.load()
        if data is None:
            raise ScheduleError("A schedule that forecasts outputs needs the drift of its study, which is not there.")
        drift = Drift.from_bytes(data)
        drift.check_fits(self.layout)
        return Forecasts(drift, self.layout.component_index)

    def schedule(self, genome: str) -> Schedule:
        """The schedule of a genome, see :meth:`~ecad_automl.schedules.schedule.Schedule.from_genome`.

        Raises:
            EcadError: it is none of this study, or the study's drift is missing or damaged.
        """
        weights = self._forecasts if "/" in genome else None
        return Schedule.from_genome(self.layout, self.steps, genome, weights)


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
            grid[:, len(layout) + 1 :] = level_bits(_filled(schedule))
    return genes


def actions_of(genes: Bits, slots: int) -> Actions:
    """The inverse of :func:`genes_of`, for any genes ``(n, steps, columns)``; of the slots alone, those of reuse."""
    compute = genes[..., :slots]
    if genes.shape[-1] == slots:
        shape = genes.shape[:-1]
        return Actions(compute, np.zeros(shape, dtype=np.bool_), np.zeros((*shape, 1), dtype=np.uint8))
    skip = genes[..., slots].copy()
    skip[..., 0] = False
    return Actions(compute & ~skip[..., None], skip, levels_of(genes[..., slots + 1 :]))


def level_bits(levels: NDArray[np.integer[Any]]) -> Bits:
    """``(..., 2 k)``: the Gray code of ``(..., k)`` levels of damping."""
    bits = np.stack([levels >= 2, (levels == 1) | (levels == 2)], axis=-1)
    return bits.reshape(*levels.shape[:-1], LEVEL_BITS * levels.shape[-1])


def levels_of(bits: Bits) -> Levels:
    """``(..., k)`` levels of ``(..., 2 k)`` bits."""
    high, low = bits[..., ::LEVEL_BITS], bits[..., 1::LEVEL_BITS]
    levels: Levels = (2 * high + (high ^ low)).astype(np.uint8)
    return levels


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
