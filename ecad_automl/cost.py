"""Exact multiply-accumulates (MACs) of a transformer and of each of its slots, counted, not derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import ScheduleError
from ecad_automl.layout import Layout, Slot

__all__ = ["count_layout"]


def count_layout(
    transformer: nn.Module, slots: Sequence[Slot], inputs: Mapping[str, Any], sample: Mapping[str, int]
) -> Layout:
    """Count the MACs of one forward of a transformer, and of each slot in it.

    PyTorch counts two flops for each multiply-accumulate of a matrix product or convolution, the attention products
    among them; everything else counts nothing. The forward is really run: on the meta device it costs no memory.

    Args:
        transformer: the module to run, on the device of the inputs.
        slots: the slots to attribute MACs to; their own MACs are ignored.
        inputs: keyword arguments of the forward, for one image.
        sample: what the inputs stand for, which the layout records.

    Returns:
        The layout, with the MACs of each slot, and all others as ``constant_macs``.

    Raises:
        ScheduleError: the forward does not run a slot.
    """
    # Attention as plain matrix products: fused kernels are not counted on every device.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        transformer(**inputs)
    flops = counter.get_flop_counts()
    root = type(transformer).__name__

    counted = []
    for slot in slots:
        name = f"{root}.{slot.name}"
        if name not in flops:
            raise ScheduleError(f"No MACs were counted for the slot {slot.name!r}; the forward of {root} skips it.")
        counted.append(replace(slot, macs=sum(flops[name].values()) // 2))
    total = counter.get_total_flops() // 2
    return Layout(root, tuple(counted), total - sum(slot.macs for slot in counted), dict(sample))
