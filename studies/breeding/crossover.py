"""Crossovers: each bit of the child is the bit of one of its two parents at the same step and slot."""

from __future__ import annotations

import numpy as np

from studies.breeding.grid import Bits, Crossover, Grid

POINTS = 4


def multipoint(first: Bits, second: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Strips of the flattened bits, step by step, alternate between the parents at four random points (as in ECAD)."""
    cuts = rng.choice(first.size, size=min(POINTS, first.size), replace=False)
    switches = np.zeros(first.size, dtype=np.intp)
    switches[cuts] = 1
    from_second = (np.cumsum(switches) % 2).astype(np.bool_).reshape(first.shape)
    return np.where(from_second, second, first)


def rectangle(first: Bits, second: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """A range of steps times a range of blocks comes from the second parent, the rest from the first."""
    steps = np.arange(len(first))
    in_steps = _within(steps, len(first), rng)
    in_blocks = _within(grid.block_index, grid.blocks, rng)
    return np.where(in_steps[:, None] & in_blocks[None, :], second, first)


def stepwise(first: Bits, second: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Each step's row comes from either parent."""
    return np.where(rng.random((len(first), 1)) < 0.5, second, first)


def slotwise(first: Bits, second: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Each slot's column comes from either parent, so that its spacing of computes stays whole."""
    return np.where(rng.random((1, first.shape[1])) < 0.5, second, first)


def uniform(first: Bits, second: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Each bit comes from either parent."""
    return np.where(rng.random(first.shape) < 0.5, second, first)


def _within(index: np.ndarray, size: int, rng: np.random.Generator) -> Bits:
    """Which of ``index`` lie in a random non-empty range of ``range(size)``."""
    start, stop = np.sort(rng.choice(size + 1, size=2, replace=False))
    inside: Bits = (index >= start) & (index < stop)
    return inside


CROSSOVERS: dict[str, Crossover] = {
    "multipoint": multipoint,
    "rectangle": rectangle,
    "stepwise": stepwise,
    "slotwise": slotwise,
}
"""All crossovers of schedules by name. Bit by bit they would tear apart what belongs together."""
