"""Taking nested arguments apart into tensors and the rest, and putting them together again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import torch

__all__ = ["OpaqueValueError", "Spec", "build_like", "flatten", "rebuild"]

#: All of a value but the contents of its tensors; equal specs mean that the same program can run.
Spec = Hashable

_CONSTANTS = frozenset((type(None), bool, int, float, str, torch.dtype, torch.device, torch.Size))


class OpaqueValueError(TypeError):
    """A value is of a type that cannot be taken apart."""


def flatten(value: object) -> tuple[Spec, list[torch.Tensor]]:
    """Take a value apart.

    Args:
        value: tensors, tuples, lists and dictionaries of such, and constants.

    Returns:
        The spec, with the shape, dtype and device of each tensor, and the tensors in order.

    Raises:
        OpaqueValueError: something of another type is in it.
    """
    tensors: list[torch.Tensor] = []
    return _spec(value, tensors), tensors


def _spec(value: Any, tensors: list[torch.Tensor]) -> Spec:
    kind = type(value)
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return torch.Tensor, value.shape, value.dtype, value.device
    if kind in (tuple, list):
        return kind, tuple([_spec(part, tensors) for part in value])
    if kind is dict:
        return dict, tuple([(key, _spec(part, tensors)) for key, part in value.items()])
    if kind not in _CONSTANTS:
        raise OpaqueValueError(f"a {kind.__name__}")
    # The type as well, since 1, 1.0 and True are equal but do not act alike.
    return kind, value


def rebuild(spec: Any, parts: Sequence[Any]) -> Any:
    """Put a value together again, with the parts given in the place of its tensors."""
    return _rebuild(spec, iter(parts))


def build_like(spec: Any, make: Callable[..., torch.Tensor]) -> Any:
    """Put a value together whose tensors come from ``make(shape, dtype=..., device=...)``."""
    return _rebuild(spec, (make(shape, dtype=dtype, device=device) for _, shape, dtype, device in _tensor_specs(spec)))


def _tensor_specs(spec: Any) -> Iterator[tuple[Any, ...]]:
    kind, content = spec[0], spec[1]
    if kind is torch.Tensor:
        yield spec
    elif kind in (tuple, list):
        for part in content:
            yield from _tensor_specs(part)
    elif kind is dict:
        for _, part in content:
            yield from _tensor_specs(part)


def _rebuild(spec: Any, parts: Iterator[Any]) -> Any:
    kind, content = spec[0], spec[1]
    if kind is torch.Tensor:
        return next(parts)
    if kind is dict:
        return {key: _rebuild(part, parts) for key, part in content}
    if kind in (tuple, list):
        return kind(_rebuild(part, parts) for part in content)
    return content
