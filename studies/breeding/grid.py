"""What an operator needs to know of a layout, or of any grid of bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.genes import LEVEL_BITS
from ecad_automl.schedules.layout import Layout

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grid:
    """The slots of a schedule as operators see them: blocks times components.

    Args:
        block_index: ``(slots,)`` position of each slot's block, as in ``Layout.block_index``.
        component_index: ``(slots,)`` position of each slot's component, as in ``Layout.component_index``.
        fixed: how many of the first rows are True in every schedule; mutations see the others alone.
        slots: how many of the columns are slots, all if None. The others say what is done instead of computing, see
            :mod:`ecad_automl.schedules.genes`; they are of components of their own, and of the block -1.
    """

    block_index: NDArray[np.intp]
    component_index: NDArray[np.intp]
    fixed: int = 1
    slots: int | None = None

    @cached_property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.block_index.max()) + 1

    @cached_property
    def components(self) -> int:
        """Number of components of slots."""
        return int(self.component_index[: self.slots].max()) + 1

    @cached_property
    def kinds(self) -> int:
        """Number of components, those of other columns too."""
        return int(self.component_index.max()) + 1

    @property
    def guidance(self) -> int:
        """The first of the columns of guidance, where there are any."""
        return (self.slots or 0) + 1 + LEVEL_BITS * (self.components + 1)

    @classmethod
    def of(cls, layout: Layout, columns: int, guided: bool = False) -> Grid:
        """The grid of a layout's schedules, with so many columns: its slots alone or all genes.

        Args:
            layout: the slots.
            columns: how many there are.
            guided: whether some are of guidance.
        """
        slots, components = len(layout), len(layout.components)
        more = np.arange(columns - slots)
        of_guidance = guided & (more > LEVEL_BITS * (components + 1))
        return cls(
            np.append(layout.block_index, np.full(len(more), -1)),
            np.append(layout.component_index, components + (more > 0) + of_guidance),
            slots=slots,
        )


Crossover = Callable[[Bits, Bits, Grid, np.random.Generator], Bits]
"""Two parents ``(steps, slots)``, grid, random stream -> child; each bit of the child is that of one of the parents."""

Mutation = Callable[[Bits, Grid, np.random.Generator], Bits]
"""Rows of a parent ``(rows, slots)``, at least one, grid, random stream -> those of a child, a new array."""
