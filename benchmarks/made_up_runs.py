"""Drift of runs that nobody made: outputs that move along smooth paths, each slot at a pace of its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout

__all__ = ["made_up_drifts"]

#: How far both guidance branches are apart, for outputs of size 1.
_APART = 0.3


def made_up_drifts(layout: Layout, counts: Iterable[int], seed: int, pace: float = 1.6) -> dict[int, Drift]:
    """By number of steps the drift of a run, with the transformer's output, both guidance branches and a scheduler.

    Runs of all numbers of steps go along the same paths, faster at first than at the end.

    Args:
        layout: the slots.
        counts: numbers of steps.
        seed: of the paths.
        pace: how far the outputs of a slot move over a run, in the mean; at 1 its first and its last are hardly alike.
    """
    rng = np.random.default_rng(seed)
    paces = rng.gamma(1.0, pace, len(layout))
    names = tuple(slot.name for slot in layout.slots)
    found = {}
    for count in counts:
        time = np.linspace(0.0, 1.0, count)
        moved = np.abs(np.subtract.outer(time * (1.5 - 0.5 * time), time * (1.5 - 0.5 * time)))
        distance = -np.expm1(-((paces[:, None, None] * moved) ** 1.5))
        found[count] = Drift(
            names,
            distance.astype(np.float32),
            np.ones((len(layout), count), np.float32),
            (0.5 * distance.mean(axis=0)).astype(np.float32),
            np.ones(count, np.float32),
            np.linspace(1.5, 0.5, count, dtype=np.float32),
            "",
            (-np.expm1(-((pace * moved) ** 1.5))).astype(np.float32),
            np.full(count, _APART, np.float32),
        )
    return found
