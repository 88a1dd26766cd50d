"""Lets torchvision's wheel for another build of torch be imported: its Python parts need only names of its operators.

Where its compiled operators cannot be loaded, as those of a CUDA build beside a CPU build of torch, importing it fails,
since it gives fake kernels to ``nms`` and ``qnms``, which nobody declared. Transforms and models need neither.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch

__all__ = ["declare_operators"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def declare_operators() -> torch.library.Library | None:
    """Declare what torchvision's own library would, unless that can be loaded; call it before importing torchvision.

    Returns:
        The library, which must live as long as the declarations are needed; this function keeps it.

    Raises:
        ModuleNotFoundError: torchvision is not there.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not on the path; see tests/references/install.py.")
    if _loads(Path(spec.origin).parent):
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}{_SCHEMA}")  # type: ignore[no-untyped-call]
    return library


def _loads(package: Path) -> bool:
    for compiled in package.glob("_C.*"):
        try:
            torch.ops.load_library(str(compiled))  # type: ignore[no-untyped-call]
        except OSError:
            return False
        return True
    return False
