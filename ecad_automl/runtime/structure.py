"""Taking nested arguments apart into tensors and the rest, and putting them together again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

#: All of a value but the contents of its tensors; equal specs mean that the same program can run.
Spec = Hashable

_CONSTANTS = frozenset((type(None), bool, int, float, str, torch.dtype, torch.device, torch.Size))


class OpaqueValueError(TypeError):
    """A value is of a type that cannot be taken apart."""


class Signature:
    """The spec of a block's arguments as a key of dictionaries, whose hash is taken once: specs are deep."""

    __slots__ = ("_hash", "_spec")

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._hash = hash(spec)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Signature) and self._spec == other._spec)


class Arguments:
    """Takes the arguments of one block after another apart, and only looks at what has changed from block to block.

    Blocks get the text, the timestep and the like as the same objects, and a new stream of the same shape.
    """

    def __init__(self) -> None:
        self._signature: Signature | None = None
        self._names: list[str] = []
        self._training = False
        self._last: list[tuple[object, Any, list[torch.Tensor]]] = []  # each value, its spec, and its tensors

    def forget(self) -> None:
        """Hold nothing of the arguments."""
        self._signature, self._last = None, []

    def flatten(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, training: bool
    ) -> tuple[Signature, list[torch.Tensor]]:
        """The signature of a block's arguments, the same object as long as it is equal, and their tensors in order.

        Raises:
            OpaqueValueError: something of another type is in them.
        """
        values = (*args, *kwargs.values())
        names = list(kwargs)
        known = self._last if len(values) == len(self._last) else [(None, None, [])] * len(values)
        same = known is self._last and names == self._names and training is self._training
        found: list[tuple[object, Any, list[torch.Tensor]]] = []
        tensors: list[torch.Tensor] = []
        for value, before in zip(values, known, strict=True):
            now = before
            # Lists and dictionaries, also in tuples, may have other contents than before.
            if value is not before[0] or before[1] is None or before[1][0] in (tuple, list, dict):
                parts: list[torch.Tensor] = []
                now = (value, _spec(value, parts), parts)
                same = same and now[1] == before[1]
            found.append(now)
            tensors += now[2]
        signature = self._signature
        if signature is None or not same:
            signature = Signature((len(args), tuple(names), tuple([spec for _, spec, _ in found]), training))
        self._signature, self._names, self._training, self._last = signature, names, training, found
        return signature, tensors


def flatten(value: object) -> tuple[Spec, list[torch.Tensor]]:
    """The spec of tensors, tuples, lists and dictionaries of such, and constants; and the tensors in order.

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
    left = iter(parts)
    return _rebuild(spec, lambda _spec: next(left))


def build_like(spec: Any, make: Callable[..., torch.Tensor]) -> Any:
    """Put a value together whose tensors come from ``make(shape, dtype=..., device=...)``."""
    return _rebuild(spec, lambda tensor: make(tensor[1], dtype=tensor[2], device=tensor[3]))


def with_batch(spec: Any, size: Callable[[int], int]) -> Any:
    """A spec whose tensors have another first dimension."""
    kind, content = spec[0], spec[1]
    if kind is torch.Tensor:
        return kind, torch.Size((size(content[0]), *content[1:])), *spec[2:]
    if kind is dict:
        return kind, tuple((key, with_batch(part, size)) for key, part in content)
    if kind in (tuple, list):
        return kind, tuple(with_batch(part, size) for part in content)
    return spec


def _rebuild(spec: Any, make: Callable[[Any], Any]) -> Any:
    kind, content = spec[0], spec[1]
    if kind is torch.Tensor:
        return make(spec)
    if kind is dict:
        return {key: _rebuild(part, make) for key, part in content}
    if kind in (tuple, list):
        return kind(_rebuild(part, make) for part in content)
    return content
