"""Exact multiply-accumulates (MACs) of a transformer and of each of its slots, counted, not derived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.layout import Layout, Slot


def count_layout(
    transformer: nn.Module,
    slots: Sequence[Slot],
    calls: Sequence[tuple[tuple[Any, ...], Mapping[str, Any]]],
    sample: Mapping[str, int],
    *,
    text: Sequence[str] = (),
    fused_attention: bool = False,
    conditional: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None,
) -> Layout:
    """Count the MACs of one step of a transformer, and of each slot in it.

    PyTorch counts two flops for each multiply-accumulate of a matrix product or convolution, the attention products
    among them; everything else counts nothing. The forward is really run: on the meta device it costs no memory.

    Args:
        transformer: the module to run, on the device of the inputs.
        slots: the slots to attribute MACs to; their own counts are ignored.
        calls: arguments and keyword arguments of each forward of a step, for one image.
        sample: what the inputs stand for, which the layout records.
        text: paths of modules that see nothing but the text.
        fused_attention: whether to let PyTorch choose a fused kernel, which needs less memory than the plain matrix
            products and is counted alike on CPU and CUDA, but not on every device.
        conditional: the arguments of a forward of the conditional guidance branch alone, where that is not the first of
            two calls.

    Returns:
        The layout, with the counts of each slot, and all other MACs as ``constant_macs``.

    Raises:
        ScheduleError: the forward does not run a slot.
    """
    elements: Counter[str] = Counter()
    attention = nullcontext() if fused_attention else sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), attention:
        with _output_sizes(transformer, slots, elements):
            by_call = [_counts(transformer, call, slots, text) for call in calls]
        alone = None if conditional is None else _counts(transformer, conditional, slots, text)
    if len(by_call) == 2:
        alone = by_call[0]
    total = [sum(parts) for parts in zip(*(macs for macs, _ in by_call), strict=True)]
    of_text = [sum(parts) for parts in zip(*(macs for _, macs in by_call), strict=True)]
    parts: list[tuple[int, int] | None] = [None] * len(total)
    if alone is not None:
        parts = [
            None if (2 * macs, 2 * within) == (whole, whole_within) else (macs, within)
            for macs, within, whole, whole_within in zip(*alone, total, of_text, strict=True)
        ]
    counted = tuple(
        replace(slot, macs=macs, text_macs=within, elements=elements[slot.name], conditional=part)
        for slot, macs, within, part in zip(slots, total, of_text, parts, strict=False)
    )
    told = {**sample, **({"calls": len(by_call)} if len(by_call) > 1 else {})}
    return Layout(type(transformer).__name__, counted, total[-1], told, of_text[-1], parts[-1])


#: MACs of each slot, and last of all else; and those of them that are on the text.
_Counts = tuple[list[int], list[int]]


def _counts(
    transformer: nn.Module,
    call: tuple[tuple[Any, ...], Mapping[str, Any]],
    slots: Sequence[Slot],
    text: Sequence[str],
) -> _Counts:
    """What is counted in one call.

    Raises:
        ScheduleError: a slot was not run.
    """
    root = type(transformer).__name__
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        transformer(*call[0], **call[1])
    macs = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    text_macs = {path: macs.get(f"{root}.{path}", 0) for path in text}
    counted, of_text = [], []
    for slot in slots:
        if f"{root}.{slot.name}" not in macs:
            raise ScheduleError(f"No MACs were counted for the slot {slot.name!r}; the forward of {root} skips it.")
        of_text.append(sum(text_macs.pop(path) for path in text if path.startswith(f"{slot.name}.")))
        counted.append(macs[f"{root}.{slot.name}"])
    return [*counted, macs[root] - sum(counted)], [*of_text, sum(text_macs.values())]


def _cpu_attention_flops(query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    flops: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]
    return flops


# PyTorch's counter knows the fused attention of CUDA but not that of the CPU.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops}


@contextmanager
def _output_sizes(transformer: nn.Module, slots: Sequence[Slot], elements: Counter[str]) -> Iterator[None]:
    """Add up the elements that each slot's outputs keep in memory, views of one memory counted once."""

    def count(name: str, output: Any) -> None:
        tensors = [output] if isinstance(output, torch.Tensor) else [x for x in output if isinstance(x, torch.Tensor)]
        storages = {x.untyped_storage()._cdata: x.untyped_storage().nbytes() // x.element_size() for x in tensors}
        elements[name] += sum(storages.values())

    with ExitStack() as hooks:
        for slot in slots:
            hook = transformer.get_submodule(slot.name).register_forward_hook(
                lambda _module, _args, output, name=slot.name: count(name, output)
            )
            hooks.callback(hook.remove)
        yield
