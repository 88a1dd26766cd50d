"""A device with too little memory, in a sentence that says what can be done, and models that are on it in part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ecad_automl.errors import DeviceMemoryError
from ecad_automl.wording import option

#: What PyTorch says where the memory of the machine itself is at an end.
_OF_THE_CPU = ("can't allocate memory", "not enough memory")


@contextmanager
def told_if_short(what: str) -> Iterator[None]:
    """Tell of too little memory in one sentence.

    Args:
        what: is done inside, such as "loading the model 'shapes'".

    Raises:
        DeviceMemoryError: memory is at an end.
    """
    try:
        yield
    except RuntimeError as error:  # of which torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and not any(text in str(error) for text in _OF_THE_CPU):
            raise
        raise DeviceMemoryError(f"{what} takes more memory than the device has{_free()}; {advice()}.") from error


def advice() -> str:
    """What saves memory, the gentlest first."""
    return (
        f"try a smaller {option('batch_size')}, {option('dtype')} bfloat16, a smaller {option('height')} and "
        f"{option('width')}, or {option('offload')} model, which keeps one part of the pipeline on the GPU at a time; "
        "group and sequential keep less, and take longer"
    )


def _free() -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB are free)"


def place(pipe: Any, device: str, offload: str | None) -> Any:
    """The pipeline on a device, all of it, or what is needed at a time by diffusers' means."""
    if offload is None:
        return pipe.to(device)
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        onload = torch.device(device)
        streams = onload.type == "cuda"
        pipe.enable_group_offload(onload, torch.device("cpu"), "leaf_level", use_stream=streams)
    return pipe


def running_device(pipe: Any) -> torch.device:
    """Where a pipeline computes, wherever its weights are between times."""
    return torch.device(getattr(pipe, "_execution_device", None) or pipe.device)


def is_offloaded(pipe: Any) -> bool:
    """Whether its weights come to where it computes only while they are used."""
    return hasattr(pipe.transformer, "_hf_hook") or next(pipe.transformer.parameters()).device != running_device(pipe)


def default_share(pipe: Any) -> int:
    """Bytes for shared steps where nobody has said how many."""
    device = torch.device(getattr(pipe, "_execution_device", "cpu"))
    if device.type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) // 4
