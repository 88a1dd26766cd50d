"""Rotary embeddings, which are the same in every step of a run: made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from ecad_automl.runtime.cache import tensors_in

#: The source is held, so that neither its id nor its memory can become another's.
_Source = tuple[torch.Tensor, int]


class _Kept(NamedTuple):
    sources: tuple[_Source, ...]
    output: Any
    versions: tuple[int, ...]


class Positions:
    """What modules give that depends on shapes, and on arguments of the transformer that are the same in every step.

    Such a module may be given a new tensor of the same values in every step, so it is told by the arguments of the call
    that it comes from: the same objects, not written to since.

    Args:
        names: of the arguments that each module, by its number, depends on.
    """

    def __init__(self, names: Sequence[tuple[str, ...]]) -> None:
        self._names = names
        self._arguments: Mapping[str, Any] = {}
        self._kept: dict[object, _Kept] = {}

    def begin(self, arguments: Mapping[str, Any]) -> None:
        """The transformer is called with these named arguments."""
        self._arguments = arguments

    def visit(self, index: int, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the module number ``index``."""
        given = [self._arguments.get(name) for name in self._names[index]]
        sources = [tensor for tensor in given if isinstance(tensor, torch.Tensor) and not tensor.is_inference()]
        tensors = [tensor for tensor in args if isinstance(tensor, torch.Tensor)]
        if kwargs or torch.is_grad_enabled() or len(sources) < len(given) or len(tensors) < len(args):
            return forward(*args, **kwargs)
        kinds = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        key = index, kinds, tuple(map(id, sources))
        kept = self._kept.get(key)
        if kept is None or not _is_as_it_was(kept):
            output = forward(*args)
            parts = tensors_in(output)
            if not parts or any(part.is_inference() for part in parts):
                return output
            held = tuple((tensor, tensor._version) for tensor in sources)
            kept = self._kept[key] = _Kept(held, output, tuple(part._version for part in parts))
        return kept.output

    def drop(self) -> None:
        """Forget the run."""
        self._kept.clear()
        self._arguments = {}


def _is_as_it_was(kept: _Kept) -> bool:
    versions = tuple(part._version for part in tensors_in(kept.output))
    return versions == kept.versions and all(tensor._version == version for tensor, version in kept.sources)
