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

__all__ = ["count_layout", "counted_layout"]


def count_layout(
    transformer: nn.Module,
    slots: Sequence[Slot],
    calls: Sequence[tuple[tuple[Any, ...], Mapping[str, Any]]],
    sample: Mapping[str, int],
) -> Layout:
    """Count the MACs of one step of a transformer, and of each slot in it.

    PyTorch counts two flops for each multiply-accumulate of a matrix product or convolution, the attention products
    among them; everything else counts nothing. The forward is really run: on the meta device it costs no memory.

    Args:
        transformer: the module to run, on the device of the inputs.
        slots: the slots to attribute MACs to; their own MACs are ignored.
        calls: arguments and keyword arguments of each forward of a step, for one image.
        sample: what the inputs stand for, which the layout records.

    Returns:
        The layout, with the MACs of each slot, and all others as ``constant_macs``.

    Raises:
        ScheduleError: the forward does not run a slot.
    """
    # Attention as plain matrix products: fused kernels are not counted on every device.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        for args, kwargs in calls:
            transformer(*args, **kwargs)
    return counted_layout(counter, type(transformer).__name__, slots, sample)


def counted_layout(
    counter: FlopCounterMode, transformer: str, slots: Sequence[Slot], sample: Mapping[str, int]
) -> Layout:
    """The layout with what a counter has seen of one step of a transformer.

    Args:
        counter: after the step.
        transformer: name of the class.
        slots: the slots to attribute MACs to; their own MACs are ignored.
        sample: what was generated, which the layout records.

    Raises:
        ScheduleError: a slot was not run.
    """
    flops = counter.get_flop_counts()
    counted = []
    for slot in slots:
        name = f"{transformer}.{slot.name}"
        if name not in flops:
            raise ScheduleError(
                f"No MACs were counted for the slot {slot.name!r}; the forward of {transformer} skips it."
            )
        counted.append(replace(slot, macs=sum(flops[name].values()) // 2))
    total = sum(flops[transformer].values()) // 2
    return Layout(transformer, tuple(counted), total - sum(slot.macs for slot in counted), dict(sample))
