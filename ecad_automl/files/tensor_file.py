"""The one place where weights are read that are no safetensors: as tensors and plain values, never as code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - the error alone
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import FileError

if TYPE_CHECKING:
    from torch import Tensor

_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def read_tensor_file(path: str | Path) -> Any:
    """What a file of weights holds, on the CPU.

    Args:
        path: what ``torch.save`` wrote, or a file whose name ends in ``.safetensors``.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is damaged, or holds something else than tensors and plain values; one line says what.
    """
    import torch
    from safetensors.torch import load_file

    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - the rule points here
    except OSError:
        raise
    # Both readers report a damaged file, or one that holds more than tensors, by errors of many kinds.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(reason) from error


def read_state(path: str | Path, expected: str) -> dict[str, Tensor]:
    """The tensors of a file of weights by their names, on the CPU; they may lie under ``state_dict``.

    Args:
        path: see :func:`read_tensor_file`.
        expected: what the file should be, for messages.

    Raises:
        FileError: there is no such file, it is damaged, or it holds something else than named tensors.
    """
    from torch import Tensor

    try:
        held = read_tensor_file(path)
    except (OSError, ValueError) as error:
        raise FileError(f"The weights {str(path)!r} cannot be read ({error}); {expected} is expected.") from error
    state = held.get("state_dict", held) if isinstance(held, dict) else held
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise FileError(f"The file {str(path)!r} holds no state dict; {expected} is expected.")
    return state


@contextmanager
def only_tensors() -> Iterator[None]:
    """Inside the block libraries read weights as :func:`read_tensor_file` does, whatever they ask ``torch.load`` for.

    Raises:
        ValueError: a file holds something else than tensors and plain values.
    """
    before = os.environ.get(_FORCED)
    os.environ[_FORCED] = "1"
    try:
        yield
    except UnpicklingError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    finally:
        if before is None:
            del os.environ[_FORCED]
        else:
            os.environ[_FORCED] = before
