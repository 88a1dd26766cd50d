"""What can be told of a model before it is loaded, or downloaded. Imports torch only where a GPU is asked for."""

from __future__ import annotations

from typing import Literal, get_args

from ecad_automl.bundled import BUNDLED
from ecad_automl.errors import EcadError, OptionError, UnsupportedModelError
from ecad_automl.files.paths import expand_home
from ecad_automl.wording import option

#: What of a pipeline is on the GPU at a time: one of its models, a block of one, or a layer.
Offload = Literal["model", "group", "sequential"]

DTYPES = ("float32", "float16", "bfloat16")


def model_faults(
    name: str, *, dtype: str | None = None, device: str | None = None, offload: str | None = None
) -> list[EcadError]:
    """All that is wrong with how a model is named and asked for; see :func:`~ecad_automl.models.load_model`."""
    found: list[EcadError] = []
    folder = BUNDLED[name].weights if name in BUNDLED else expand_home(name)
    if not folder.is_dir() and (folder.exists() or name.startswith((".", "/", "~")) or name.count("/") != 1):
        found.append(
            UnsupportedModelError(
                f"The model {name!r} is neither bundled ({', '.join(BUNDLED)}), nor an existing folder with a "
                "model_index.json, nor a hub id like 'PixArt-alpha/PixArt-XL-2-256x256'."
            )
        )
    if dtype is not None and dtype not in DTYPES:
        found.append(UnsupportedModelError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}."))
    if offload is not None and offload not in get_args(Offload):
        found.append(
            OptionError(f"There is no {option('offload')} {offload!r}; choose one of {', '.join(get_args(Offload))}.")
        )
    fault = device_fault(device)
    if fault is not None:
        found.append(fault)
    elif offload in get_args(Offload) and _is_cpu(device):
        found.append(
            OptionError(
                f"{option('offload')} {offload} saves memory of a GPU, but the model runs on the CPU; leave it out."
            )
        )
    return found


def device_fault(device: str | None) -> EcadError | None:
    """Why a device cannot be used; None where it can, or where none is named."""
    if device is None or device == "cpu":
        return None
    import torch

    kind, _, number = device.partition(":")
    if kind != "cuda":
        try:
            torch.device(device)
        except RuntimeError:
            return OptionError(
                f"The device {device!r} is none that PyTorch knows; give such as cuda, cuda:1, mps or cpu."
            )
        return None
    if number and not number.isdigit():
        return OptionError(f"The device {device!r} is none that PyTorch knows; give such as cuda, cuda:1, mps or cpu.")
    if not torch.cuda.is_available():
        built = "this PyTorch is built without it" if torch.version.cuda is None else "no GPU or driver is found"
        return OptionError(
            f"The device {device!r} was asked for, but there is no CUDA here: {built}; leave {option('device')} out to "
            "run on the CPU."
        )
    there = torch.cuda.device_count()
    if number and int(number) >= there:
        return OptionError(
            f"The device {device!r} was asked for, but there are {there} GPUs; give cuda:0 to cuda:{there - 1}."
        )
    return None


def _is_cpu(device: str | None) -> bool:
    if device is not None:
        return device == "cpu"
    import torch

    return not torch.cuda.is_available()
