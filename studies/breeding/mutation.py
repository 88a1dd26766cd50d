"""Mutations: small changes of one schedule, or grid of bits, that leave its fixed rows (the first step) as they are."""

from __future__ import annotations

import numpy as np

from studies.breeding.grid import Bits, Grid, Mutation

__all__ = [
    "MUTATIONS",
    "copy_slot",
    "copy_step",
    "flip_bits",
    "move_compute",
    "swap",
    "swap_steps",
    "toggle_band",
    "toggle_blocks",
    "toggle_run",
    "toggle_step",
]

EXPECTED_FLIPS = 3.0
EXPECTED_MOVES = 3.0


def flip_bits(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Flips each bit with a probability that makes three flips on average, and at least one bit."""
    child = compute.copy()
    later = child[grid.fixed :]
    if not later.size:
        return child
    flips = rng.random(later.shape) < EXPECTED_FLIPS / later.size
    if not flips.any():
        flips.flat[rng.integers(later.size)] = True
    later ^= flips
    return child


def move_compute(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Moves computes to a free neighboring step of the same slot; the count in every slot stays the same."""
    child = compute.copy()
    for _ in range(_repeats(rng)):
        shift = int(rng.choice((-1, 1)))
        later = child[grid.fixed :]
        free = np.zeros_like(later)
        if shift == 1:
            free[:-1] = later[:-1] & ~later[1:]
        else:
            free[1:] = later[1:] & ~later[:-1]
        movable = np.flatnonzero(free)
        if len(movable):
            step, slot = divmod(int(rng.choice(movable)), child.shape[1])
            later[step, slot], later[step + shift, slot] = False, True
    return child


def swap(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Turns one compute off and another of the same component on, so that the MACs stay the same."""
    child = compute.copy()
    for _ in range(_repeats(rng)):
        component = rng.integers(grid.components)
        mine = grid.component_index == component
        on = np.flatnonzero(child[grid.fixed :] & mine)
        off = np.flatnonzero(~child[grid.fixed :] & mine)
        if len(on) and len(off):
            child[grid.fixed :].flat[rng.choice(on)] = False
            child[grid.fixed :].flat[rng.choice(off)] = True
    return child


def copy_step(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """A step takes the row of a neighboring step."""
    child = compute.copy()
    if len(child) > grid.fixed + 1:
        step = int(rng.integers(grid.fixed, len(child)))
        neighbors = [other for other in (step - 1, step + 1) if grid.fixed <= other < len(child)]
        child[step] = child[rng.choice(neighbors)]
    return child


def swap_steps(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Two neighboring steps exchange their rows: what is recomputed together stays together; the MACs stay the same."""
    child = compute.copy()
    # Equal neighbors are passed over: exchanging them changes nothing.
    unequal = grid.fixed + np.flatnonzero((child[grid.fixed : -1] != child[grid.fixed + 1 :]).any(axis=1))
    if len(unequal):
        step = int(rng.choice(unequal))
        child[[step, step + 1]] = child[[step + 1, step]]
    return child


def toggle_step(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes or reuses everything at one step."""
    child = compute.copy()
    if len(child) > grid.fixed:
        step = int(rng.integers(grid.fixed, len(child)))
        child[step] = not child[step].all()
    return child


def toggle_blocks(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Computes or reuses a band of adjacent blocks with all their components at one step."""
    child = compute.copy()
    if len(child) > grid.fixed:
        band, step = _band(grid, rng), _step(child, grid, rng)
        child[step, band] = not child[step, band].all()
    return child


def copy_slot(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """A slot takes the column of the same component in the next or previous block that has it."""
    child = compute.copy()
    slot = int(rng.integers(child.shape[1]))
    alike = np.flatnonzero(grid.component_index == grid.component_index[slot])
    alike = alike[np.argsort(grid.block_index[alike], kind="stable")]
    at = int(np.flatnonzero(alike == slot)[0])
    neighbors = [alike[other] for other in (at - 1, at + 1) if 0 <= other < len(alike)]
    if neighbors:
        child[grid.fixed :, slot] = child[grid.fixed :, rng.choice(neighbors)]
    return child


def toggle_band(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Turns one component on or off over a band of adjacent blocks at one step."""
    child = compute.copy()
    if len(child) > grid.fixed:
        band = _band(grid, rng) & (grid.component_index == rng.integers(grid.components))
        child[_step(child, grid, rng), band] = bool(rng.integers(2))
    return child


def toggle_run(compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
    """Turns one slot on or off over a range of steps."""
    child = compute.copy()
    if len(child) > grid.fixed:
        start, stop = np.sort(rng.choice(np.arange(grid.fixed, len(child) + 1), size=2, replace=False))
        child[start:stop, rng.integers(child.shape[1])] = bool(rng.integers(2))
    return child


def _band(grid: Grid, rng: np.random.Generator) -> Bits:
    """``(slots,)``: the slots of a random range of adjacent blocks."""
    start, stop = np.sort(rng.choice(grid.blocks + 1, size=2, replace=False))
    band: Bits = (grid.block_index >= start) & (grid.block_index < stop)
    return band


def _step(compute: Bits, grid: Grid, rng: np.random.Generator) -> int:
    """Any step that is not fixed; half of the time one that computes something, since in sparse schedules few do."""
    busy = grid.fixed + np.flatnonzero(compute[grid.fixed :].any(axis=1))
    if len(busy) and rng.random() < 0.5:
        return int(rng.choice(busy))
    return int(rng.integers(grid.fixed, len(compute)))


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
