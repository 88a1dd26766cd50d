"""Multiply-accumulates of runs under a schedule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout

Bits = NDArray[np.bool_]


def macs_by_step(layout: Layout, computed: Bits, alone: Bits) -> NDArray[np.int64]:
    """``(steps,)``: multiply-accumulates of each step, for one image at the layout's sample.

    Args:
        layout: the slots.
        computed: ``(steps, slots + 1)`` bool: what is computed of each slot, and whether the transformer is entered.
        alone: ``(steps,)`` bool: where the conditional guidance branch is computed alone.
    """
    of_both = computed @ np.append(layout.slot_macs, layout.constant_macs)
    found: NDArray[np.int64] = np.where(alone, computed @ layout.conditional_macs[:, 0], of_both)
    return found


def repeated_text_macs(layout: Layout, computed: Bits, alone: Bits) -> int:
    """Of all, those on text that was worked on before.

    It is the same text for each guidance branch that has its own calls, and for each batch of branches. See
    :func:`macs_by_step` for the arguments.
    """
    both, single = computed[~alone].sum(axis=0), computed[alone].sum(axis=0)
    text, conditional = np.append(layout.slot_text_macs, layout.text_macs), layout.conditional_macs[:, 1]
    if layout.calls > 1:
        again = (both + single - 1) @ conditional + np.maximum(both - 1, 0) @ (text - conditional)
    else:
        again = np.maximum(both - 1, 0) @ text + np.maximum(single - 1, 0) @ conditional
    return int(again)


def idle_modulation_macs(layout: Layout, computed: Bits, alone: Bits) -> int:
    """Of all, those of modulations that nothing reads where slots are reused; see :func:`macs_by_step`."""
    found = 0
    for modulation in layout.modulations:
        idle = computed[:, -1] & ~computed[:, list(modulation.readers)].any(axis=1)
        found += int(idle[~alone].sum()) * modulation.macs + int(idle[alone].sum()) * (modulation.macs // 2)
    return found
