"""The cached outputs of a run: one set of entries per guidance branch that has its own transformer calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from ecad_automl.runtime.steps import ContextKey

__all__ = ["CachedOutputs", "Entry", "Kept", "Output", "OutputCache", "tensors_in"]

#: What a component returns: FLUX's joint attention returns a tuple.
Output = torch.Tensor | tuple[torch.Tensor, ...]

#: Number of a slot, and of the call of it in a forward of its block.
Entry = tuple[int, int]


class Kept(NamedTuple):
    """A tensor as it is kept, and what it was."""

    tensor: torch.Tensor
    dtype: torch.dtype
    device: torch.device


#: The cached outputs of one guidance branch. Neither the lists nor the tensors are ever written to.
CachedOutputs = Mapping[Entry, list[Kept]]


class OutputCache:
    """Cached outputs by guidance branch and entry: the tensors of each output.

    Args:
        dtype: of kept floating-point tensors; as they come if None.
        device: where tensors are kept; where they come from if None.
    """

    def __init__(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        self.dtype, self.device = dtype, device
        self._contexts: dict[ContextKey, dict[Entry, list[Kept]]] = {}
        self._entries: dict[Entry, list[Kept]] = {}

    def begin(self, context: ContextKey) -> None:
        """Store and read in that guidance branch from now on."""
        self._entries = self._contexts.setdefault(context, {})

    def store(self, entry: Entry, tensors: tuple[torch.Tensor, ...]) -> None:
        """Keep the tensors of an output."""
        self._entries[entry] = [Kept(self._converted(tensor), tensor.dtype, tensor.device) for tensor in tensors]

    def read(self, entry: Entry, *, last: bool) -> list[torch.Tensor]:
        """The tensors of an output, as they were; freed if this was the last reader."""
        kept = self._entries.pop(entry) if last else self._entries[entry]
        if self.dtype is None and self.device is None:
            return [tensor for tensor, _, _ in kept]
        return [tensor.to(device=device, dtype=dtype) for tensor, dtype, device in kept]

    def outputs(self, context: ContextKey) -> CachedOutputs:
        """What is kept for one context now; later changes do not show in it."""
        return dict(self._contexts.get(context, {}))

    def replace(self, context: ContextKey, outputs: CachedOutputs) -> None:
        """Keep these for one context, and store and read in it from now on."""
        self._entries = self._contexts[context] = dict(outputs)

    def free(self, context: ContextKey, is_needed: Callable[[Entry], bool]) -> None:
        """Free the entries of one context that are not needed."""
        entries = self._contexts.get(context, {})
        for entry in [entry for entry in entries if not is_needed(entry)]:
            del entries[entry]

    def drop(self, context: ContextKey) -> None:
        """Free all entries of one context."""
        self._contexts.pop(context, None)

    def clear(self) -> None:
        """Free everything."""
        self._contexts.clear()
        self._entries = {}

    @property
    def nbytes(self) -> int:
        """Bytes held: the storages of all entries, each counted once."""
        storages = {}
        for entries in self._contexts.values():
            for kept in entries.values():
                for tensor, _, _ in kept:
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())

    def _converted(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device=self.device, dtype=self.dtype if tensor.is_floating_point() else None)


def tensors_in(output: object) -> tuple[torch.Tensor, ...]:
    """The tensors in a value, which may be one or a tuple of them; none where it is anything else."""
    if isinstance(output, torch.Tensor):
        return (output,)
    if isinstance(output, (tuple, list)):
        return tuple(tensor for part in output for tensor in tensors_in(part))
    return ()
