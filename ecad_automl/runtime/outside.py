"""Finding the memory that captured work reads and did not make."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Outside"]


class Outside(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Holds the memory that operations read and did not make, such as tables that a module keeps for a while.

    Args:
        known: addresses of memory that need not be held.
    """

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: list[torch.UntypedStorage] = []
        self._known = known

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self.held += self._new_in((args, kwargs))
        output = func(*args, **kwargs)
        self._new_in(output)
        return output

    def _new_in(self, value: Any) -> list[torch.UntypedStorage]:
        new = []
        for tensor in tree_leaves(value):
            # Quantised tensors have no memory themselves, and what they are made of is known.
            if isinstance(tensor, torch.Tensor) and not hasattr(tensor, "__tensor_flatten__"):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self._known:
                    self._known.add(storage.data_ptr())
                    new.append(storage)
        return new
