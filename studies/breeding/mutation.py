"""Mutations: small changes of one schedule, or grid of bits, of which they see the rows that are not fixed."""

from __future__ import annotations

import numpy as np

from ecad_automl.schedules.forecast import DAMPING
from ecad_automl.schedules.genes import GUIDANCE_BITS, LEVEL_BITS, level_bits, levels_of
from studies.breeding.grid import Bits, Grid, Mutation

EXPECTED_FLIPS = 3.0
EXPECTED_MOVES = 3.0
#: How often a step that computes one guidance branch alone does without guidance.
_NO_GUIDANCE = 0.25


def flip_bits(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Flips each bit with a probability that makes three flips on average, and at least one bit."""
    flips = rng.random(compute.shape) < EXPECTED_FLIPS / compute.size
    if not flips.any():
        flips.flat[rng.integers(compute.size)] = True
    return compute ^ flips


def move_compute(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Moves computes to a free neighboring step of the same slot; the count in every slot stays the same."""
    child = compute.copy()
    for _ in range(_repeats(rng)):
        shift = int(rng.choice((-1, 1)))
        free = np.zeros_like(child)
        if shift == 1:
            free[:-1] = child[:-1] & ~child[1:]
        else:
            free[1:] = child[1:] & ~child[:-1]
        movable = np.flatnonzero(free)
        if len(movable):
            step, slot = divmod(int(rng.choice(movable)), child.shape[1])
            child[step, slot], child[step + shift, slot] = False, True
    return child


def swap(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Turns one compute off and another of the same component on, so that the MACs stay the same."""
    child = compute.copy()
    for _ in range(_repeats(rng)):
        mine = grid.component_index == rng.integers(grid.kinds)
        on, off = np.flatnonzero(child & mine), np.flatnonzero(~child & mine)
        if len(on) and len(off):
            child.flat[rng.choice(on)] = False
            child.flat[rng.choice(off)] = True
    return child


def copy_step(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """A step takes the row of a neighboring step."""
    child = compute.copy()
    if len(child) > 1:
        step = int(rng.integers(len(child)))
        child[step] = child[rng.choice([other for other in (step - 1, step + 1) if 0 <= other < len(child)])]
    return child


def swap_steps(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Two neighboring steps exchange their rows: what is recomputed together stays together; the MACs stay the same."""
    child = compute.copy()
    # Equal neighbors are passed over: exchanging them changes nothing.
    unequal = np.flatnonzero((child[:-1] != child[1:]).any(axis=1))
    if len(unequal):
        step = int(rng.choice(unequal))
        child[[step, step + 1]] = child[[step + 1, step]]
    return child


def toggle_step(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes everything at one step, or uses what is cached; the step is not skipped."""
    child = compute.copy()
    step = int(rng.integers(len(child)))
    child[step, : grid.slots] = not child[step, : grid.slots].all()
    if grid.slots is not None:
        child[step, grid.slots : grid.slots + 1] = False
    return child


def toggle_blocks(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes or reuses a band of adjacent blocks with all their components at one step."""
    child = compute.copy()
    band, step = _band(grid, rng), _step(child, grid, rng)
    child[step, band] = not child[step, band].all()
    return child


def copy_slot(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """A slot takes the column of the same component in the next or previous block that has it."""
    child = compute.copy()
    slot = int(rng.integers(grid.slots or child.shape[1]))
    alike = np.flatnonzero(grid.component_index == grid.component_index[slot])
    alike = alike[np.argsort(grid.block_index[alike], kind="stable")]
    at = int(np.flatnonzero(alike == slot)[0])
    neighbors = [alike[other] for other in (at - 1, at + 1) if 0 <= other < len(alike)]
    if neighbors:
        child[:, slot] = child[:, rng.choice(neighbors)]
    return child


def toggle_band(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Turns one component on or off over a band of adjacent blocks at one step."""
    child = compute.copy()
    band = _band(grid, rng) & (grid.component_index == rng.integers(grid.components))
    child[_step(child, grid, rng), band] = bool(rng.integers(2))
    return child


def toggle_run(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:  # noqa: ARG001
    """Turns one slot on or off over a range of steps."""
    child = compute.copy()
    start, stop = np.sort(rng.choice(len(child) + 1, size=2, replace=False))
    child[start:stop, rng.integers(child.shape[1])] = bool(rng.integers(2))
    return child


def toggle_skip(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Skips one step, or runs it."""
    child = compute.copy()
    child[int(rng.integers(len(child))), grid.slots] ^= True
    return child


def damp(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Shifts the level of damping of one component, or of the transformer's output, over a range of steps by one."""
    child = compute.copy()
    start, stop = np.sort(rng.choice(len(child) + 1, size=2, replace=False))
    first = (grid.slots or 0) + 1 + LEVEL_BITS * int(rng.integers(grid.components + 1))
    _shift(child[start:stop, first : first + LEVEL_BITS], int(rng.choice((-1, 1))))
    return child


def guide(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes both guidance branches at one step or the conditional one alone, with a difference kept in some way."""
    child = compute.copy()
    own = child[int(rng.integers(len(child))), grid.guidance : grid.guidance + GUIDANCE_BITS]
    own[0] ^= True
    if not own[0]:
        own[1] = rng.random() < _NO_GUIDANCE
        _shift(own[None, 2:], int(rng.choice((-1, 0, 1))))
    return child


def guide_run(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes both guidance branches in all, every second, every third or none of a range of steps."""
    child = compute.copy()
    start, stop = np.sort(rng.choice(len(child) + 1, size=2, replace=False))
    own = child[start:stop, grid.guidance : grid.guidance + GUIDANCE_BITS]
    period = int(rng.choice((1, 2, 3, len(own) + 1)))
    own[:, 0] = (np.arange(len(own)) + int(rng.integers(period))) % period == 0
    own[:, 1] = rng.random() < _NO_GUIDANCE
    own[:, 2:] = level_bits(rng.integers(len(DAMPING), size=1))
    return child


def _shift(bits: Bits, by: int) -> None:
    """Shift levels of damping in their bits ``(n, 2)``."""
    bits[:] = level_bits((levels_of(bits).astype(np.intp) + by).clip(0, len(DAMPING) - 1))


def _band(grid: Grid, rng: np.random.Generator) -> Bits:
    """``(slots,)``: the slots of a random range of adjacent blocks."""
    start, stop = np.sort(rng.choice(grid.blocks + 1, size=2, replace=False))
    band: Bits = (grid.block_index >= start) & (grid.block_index < stop)
    return band


def _step(compute: Bits, grid: Grid, rng: np.random.Generator) -> int:
    """Any step; half of the time one that computes something, since in sparse schedules few do."""
    busy = np.flatnonzero(compute[:, : grid.slots].any(axis=1) & ~_skipped(compute, grid))
    if len(busy) and rng.random() < 0.5:
        return int(rng.choice(busy))
    return int(rng.integers(len(compute)))


def _skipped(compute: Bits, grid: Grid) -> Bits:
    """``(rows,)``; none where the grid does not say."""
    if grid.slots is None:
        return np.zeros(len(compute), dtype=np.bool_)
    skipped: Bits = np.any(compute[:, grid.slots : grid.slots + 1], axis=1)
    return skipped


def _repeats(rng: np.random.Generator) -> int:
    return 1 + int(rng.poisson(EXPECTED_MOVES - 1))


MUTATIONS: dict[str, Mutation] = {
    "flip": flip_bits,
    "move": move_compute,
    "swap": swap,
    "copy-step": copy_step,
    "copy-slot": copy_slot,
    "swap-steps": swap_steps,
    "toggle-step": toggle_step,
    "blocks": toggle_blocks,
    "band": toggle_band,
    "run": toggle_run,
}
"""All mutations by name."""

FORECAST_MUTATIONS: dict[str, Mutation] = {**MUTATIONS, "skip": toggle_skip, "damp": damp}
"""Those of grids that say what is skipped and forecast."""

GUIDED_MUTATIONS: dict[str, Mutation] = {**FORECAST_MUTATIONS, "guide": guide, "guide-run": guide_run}
"""Those of grids that say what is done about guidance too."""
