"""Random schedules of all the patterns that a search tries, for a latency model to be fitted to."""

from __future__ import annotations

import math

import numpy as np

from ecad_automl.schedules.heuristics import random_bands
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule

#: Shares of computes, from harsh to gentle.
_SHARES = (0.05, 0.95)


def random_schedules(layout: Layout, steps: int, count: int, *, seed: int = 0) -> list[Schedule]:
    """All-compute, the first step alone, and random ones of five patterns in turn.

    The patterns: all bits on their own, whole steps, components at steps of their own, bands of blocks, and whole
    blocks; whole steps with a few bits flipped. The same seed gives the same first ones, however many there are.
    """
    rng = np.random.default_rng(seed)
    extremes = [Schedule(layout, np.full((steps, len(layout)), value)) for value in (True, False)]
    drawn = [_random(layout, steps, index % 5, rng) for index in range(max(0, count - 2))]
    return [*extremes, *drawn][:count]


def _random(layout: Layout, steps: int, pattern: int, rng: np.random.Generator) -> Schedule:
    share = rng.uniform(*_SHARES)
    if pattern == 3:
        band = math.ceil(len(layout.blocks) / int(rng.integers(2, 6)))
        return random_bands(layout, steps, share, seed=int(rng.integers(2**31)), band=band)
    compute: Bits
    if pattern == 0:
        compute = rng.random((steps, len(layout))) < share
    elif pattern == 1:
        compute = (rng.random((steps, 1)) < share) ^ (rng.random((steps, len(layout))) < 0.02)
    elif pattern == 2:
        shares = rng.uniform(*_SHARES, size=len(layout.components))
        compute = (rng.random((steps, len(shares))) < shares)[:, layout.component_index]
    else:
        compute = (rng.random((steps, len(layout.blocks))) < share)[:, layout.block_index]
    return Schedule(layout, compute)
