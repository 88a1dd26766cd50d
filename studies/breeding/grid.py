"""What an operator needs to know of a layout, or of any grid of bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grid:
    """The slots of a schedule as operators see them: blocks times components.

    Args:
        block_index: ``(slots,)`` position of each slot's block, as in ``Layout.block_index``.
        component_index: ``(slots,)`` position of each slot's component, as in ``Layout.component_index``.
        fixed: how many of the first rows are True in every schedule; mutations see the others alone.
    """

    block_index: NDArray[np.intp]
    component_index: NDArray[np.intp]
    fixed: int = 1

    @cached_property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(self.block_index.max()) + 1

    @cached_property
    def components(self) -> int:
        """Number of components."""
        return int(self.component_index.max()) + 1


Crossover = Callable[[Bits, Bits, Grid, np.random.Generator], Bits]
"""Two parents ``(steps, slots)``, grid, random stream -> child; each bit of the child is that of one of the parents."""

Mutation = Callable[[Bits, Grid, np.random.Generator], Bits]
"""Rows of a parent ``(rows, slots)``, at least one, grid, random stream -> those of a child, a new array."""
