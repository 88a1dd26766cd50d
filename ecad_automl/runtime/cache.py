"""The cached outputs of a run: one set of entries per guidance branch that has its own transformer calls."""

from __future__ import annotations

import torch

from ecad_automl.runtime.steps import ContextKey

__all__ = ["Entries", "Output", "OutputCache", "tensors_in"]

#: What a component returns: FLUX's joint attention returns a tuple.
Output = torch.Tensor | tuple[torch.Tensor, ...]

#: Cached outputs of one context, by slot number and call of the slot in a forward of its block.
Entries = dict[tuple[int, int], Output]


class OutputCache:
    """Cached outputs by context and slot."""

    def __init__(self) -> None:
        self._contexts: dict[ContextKey, Entries] = {}

    def entries(self, context: ContextKey) -> Entries:
        """The entries of a context, to be read and changed in place; none at first."""
        return self._contexts.setdefault(context, {})

    def drop(self, context: ContextKey) -> None:
        """Free all entries of one context."""
        self._contexts.pop(context, None)

    def clear(self) -> None:
        """Free everything."""
        self._contexts.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held: the storages of all entries, each counted once."""
        storages = {}
        for entries in self._contexts.values():
            for output in entries.values():
                for tensor in tensors_in(output):
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())


def tensors_in(output: object) -> tuple[torch.Tensor, ...]:
    """The tensors in a value, which may be one or a tuple of them; none where it is anything else."""
    if isinstance(output, torch.Tensor):
        return (output,)
    if isinstance(output, (tuple, list)):
        return tuple(tensor for part in output for tensor in tensors_in(part))
    return ()
