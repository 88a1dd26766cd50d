"""Hypervolume of a front as it grew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studies.quality import Scale

__all__ = ["hypervolume_curve"]


def hypervolume_curve(
    scale: Scale, rewards: Sequence[float], costs: Sequence[float], counts: Sequence[bool]
) -> NDArray[np.float64]:
    """``(n,)`` normalized hypervolume after each of ``n`` evaluations.

    It is computed anew where the front changes only, so that thousands take a moment.

    Args:
        scale: what it is measured from.
        rewards: ``n``, oldest first.
        costs: ``n``.
        counts: ``n``: whether an evaluation was whole and meets the constraints; others add nothing.
    """
    curve = np.zeros(len(rewards))
    front: list[tuple[float, float]] = []
    value = 0.0
    for index, (reward, cost, counted) in enumerate(zip(rewards, costs, counts, strict=True)):
        if counted and not any(r >= reward and c <= cost for r, c in front):
            front = [(r, c) for r, c in front if not (reward >= r and cost <= c)] + [(reward, cost)]
            value = scale.hypervolume([r for r, _ in front], [c for _, c in front])
        curve[index] = value
    return curve
