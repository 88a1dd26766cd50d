"""Where schedules compute: shares of MACs by step, depth and component; pure functions on schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule

__all__ = ["ComputeShares", "compute_shares"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ComputeShares:
    """Shares in [0, 1] of the MACs of the slots that ``n`` schedules of one layout compute.

    Args:
        labels: ``n`` names of the schedules, each once; up to a comma they are short.
        by_step: ``(n, steps)``.
        by_block: ``(n, blocks)``.
        by_component: ``(n, components)``.
        step_names: of the steps.
        block_names: of the blocks, by depth.
        components: names of the components.
    """

    labels: tuple[str, ...]
    by_step: Floats
    by_block: Floats
    by_component: Floats
    step_names: tuple[str, ...]
    block_names: tuple[str, ...]
    components: tuple[str, ...]


def compute_shares(schedules: Sequence[Schedule], labels: Sequence[str]) -> ComputeShares:
    """Shares of the MACs of the slots; what is computed at every step whatever the schedule is left out.

    Args:
        schedules: ``n``, at least one, of one layout and number of steps.
        labels: ``n``, see :class:`ComputeShares`.
    """
    layout = schedules[0].layout
    macs = np.asarray(layout.slot_macs, dtype=np.float64)
    effective = np.stack([schedule.effective for schedule in schedules])  # (n, steps, slots)
    spent = effective * macs

    def grouped(index: NDArray[np.intp], count: int) -> Floats:
        member = np.eye(count)[index]  # (slots, count)
        whole = effective.shape[1] * (macs @ member)
        # A group without MACs, whose share is no number, computes nothing.
        shares: Floats = np.zeros((len(spent), count))
        np.divide(spent.sum(axis=1) @ member, whole, out=shares, where=whole > 0)
        return shares

    return ComputeShares(
        tuple(labels),
        spent.sum(axis=2) / macs.sum(),
        grouped(layout.block_index, len(layout.blocks)),
        grouped(layout.component_index, len(layout.components)),
        tuple(str(step) for step in range(effective.shape[1])),
        tuple(str(block) for block in range(len(layout.blocks))),
        tuple(layout.components),
    )
