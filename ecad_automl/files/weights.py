"""Which weights a score comes from: names of files and models say too little, for both can change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """Where weights came from, and what they were.

    Args:
        source: hub id or path.
        digest: see :func:`hash_state`.
    """

    source: str
    digest: str

    def __str__(self) -> str:
        return f"{self.source} ({self.digest[:12]})"


def hash_state(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, whatever their order, device or file format.

    Args:
        state: as of ``module.state_dict()``.

    Returns:
        64 hexadecimal digits.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
