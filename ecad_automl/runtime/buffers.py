"""Memory that stays where it is from call to call, as captured work needs it: arguments, cached outputs, text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ecad_automl.runtime.blocks import Forward
from ecad_automl.runtime.cache import Entry, Kept, OutputCache
from ecad_automl.runtime.steps import ContextKey

__all__ = ["MissingBufferError", "SlotBuffers", "StaticInputs", "TextBuffers", "nbytes_of"]


class MissingBufferError(RuntimeError):
    """A buffer would have to be made during a capture, whose memory does not last."""


def nbytes_of(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the storages of tensors, each counted once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def _like(tensor: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Memory for a tensor, in its order."""
    with torch.inference_mode(mode=False):  # else it could be written to in inference mode only
        return torch.empty_like(tensor, dtype=dtype, requires_grad=False)


class _Source:
    """What was copied, held so that its memory cannot become another's."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor
        self._state = _state(tensor)

    def is_still(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is the same memory, not written to since."""
        return not tensor.is_inference() and _state(tensor) == self._state


def _state(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version


class StaticInputs:
    """Copies of the arguments of transformer calls.

    Args:
        tensors: the first ones; later ones are of the same shapes and types.
    """

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = [_like(tensor) for tensor in tensors]
        self._sources: list[_Source | None] = [None] * len(tensors)
        self._versions = [0] * len(tensors)

    def fill(self, tensors: Sequence[torch.Tensor]) -> frozenset[int]:
        """Copy what is not there yet, and say which tensors that were, by number."""
        written = []
        for number, (tensor, source) in enumerate(zip(tensors, self._sources, strict=True)):
            if source is not None and source.is_still(tensor):
                continue
            self._sources[number] = None
            self.tensors[number].copy_(tensor)
            self._versions[number] = self.tensors[number]._version
            # Writes to inference tensors are not counted, so that these are copied always.
            self._sources[number] = None if tensor.is_inference() else _Source(tensor)
            written.append(number)
        return frozenset(written)

    def changed(self) -> bool:
        """Whether somebody else has written to a copy."""
        return any(tensor._version != version for tensor, version in zip(self.tensors, self._versions, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of the copies."""
        return nbytes_of(self.tensors)

    def forget(self) -> None:
        """Let go of what was copied."""
        self._sources = [None] * len(self.tensors)


class SlotBuffers(OutputCache):
    """Cached outputs of one guidance branch, each in memory that it keeps from run to run.

    Args:
        dtype: of kept floating-point tensors; as they come if None.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__(dtype, None)
        #: Whether the buffers must stay as they are, since a capture is being made.
        self.fixed = False
        #: How often a buffer had to be replaced, so that what was captured before is void.
        self.replaced = 0

    def store(self, entry: Entry, tensors: tuple[torch.Tensor, ...]) -> None:
        """Copy the tensors of an output to where the entry is kept."""
        kept = self._entries.get(entry, [])
        if len(kept) != len(tensors) or not all(map(_fits, kept, tensors)):
            if self.fixed:
                raise MissingBufferError("a cached output has no memory yet")
            self.replaced += entry in self._entries
            kept = [Kept(_like(tensor, self._kept_as(tensor)), tensor.dtype, tensor.device) for tensor in tensors]
            self._entries[entry] = kept
        for place, tensor in zip(kept, tensors, strict=True):
            place.tensor.copy_(tensor)

    def read(self, entry: Entry, *, last: bool) -> list[torch.Tensor]:  # noqa: ARG002 - nothing is freed
        """The tensors of an output, as they were."""
        return super().read(entry, last=False)

    def drop(self, context: ContextKey) -> None:
        """Nothing is freed."""

    def clear(self) -> None:
        """Nothing is freed."""

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All buffers."""
        return [part.tensor for kept in self._entries.values() for part in kept]

    def _kept_as(self, tensor: torch.Tensor) -> torch.dtype:
        return self.dtype if self.dtype is not None and tensor.is_floating_point() else tensor.dtype


def _fits(kept: Kept, tensor: torch.Tensor) -> bool:
    return kept.tensor.shape == tensor.shape and kept.dtype == tensor.dtype and kept.device == tensor.device


@dataclass
class _TextBuffer:
    """The output of a text module.

    Args:
        given: where what the module was given lies, and how.
        roots: numbers of the arguments of the transformer call that the output was made of.
        output: the output, of which nothing but our own copying has changed the version.
    """

    given: tuple[object, ...]
    roots: frozenset[int]
    output: torch.Tensor
    version: int = -1


@dataclass
class TextBuffers:
    """What text modules give in one guidance branch, in memory that is kept from run to run.

    An output is kept if it was made of static copies of arguments and of other kept outputs alone, so that it holds as
    long as these are not written to. Everything else is computed in every call.
    """

    #: Modules whose kept outputs hold for the arguments that are there now.
    valid: set[int] = field(default_factory=set)
    #: Modules that were asked for their output in this call, and could give a kept one.
    asked: set[int] = field(default_factory=set)
    fixed: bool = False
    _inputs: Sequence[torch.Tensor] = ()
    _buffers: dict[int, _TextBuffer] = field(default_factory=dict)
    replaced: int = 0

    def call(self, inputs: StaticInputs) -> None:
        """A transformer call with these arguments begins."""
        self._inputs = inputs.tensors
        self.asked.clear()

    def begin(self, context: ContextKey) -> None:
        """There is but one guidance branch."""

    def visit(self, index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the text module number ``index``."""
        if kwargs or len(args) != 1 or not isinstance(args[0], torch.Tensor):
            return forward(*args, **kwargs)
        given = args[0]
        roots = self._roots(given)
        if roots is None:
            return forward(given)
        where = given.data_ptr(), given.shape, given.stride(), given.dtype
        buffer = self._buffers.get(index)
        if index in self.asked and buffer is not None and buffer.given != where:
            return forward(given)  # called again, for another part of the text
        self.asked.add(index)
        if index in self.valid and buffer is not None and buffer.given == where:
            return buffer.output
        output = forward(given)
        if not isinstance(output, torch.Tensor):
            self.asked.discard(index)
            return output
        if buffer is None or buffer.output.shape != output.shape or buffer.output.dtype != output.dtype:
            if self.fixed:
                raise MissingBufferError("kept text has no memory yet")
            self.replaced += buffer is not None
            buffer = self._buffers[index] = _TextBuffer(where, roots, _like(output))
        buffer.given, buffer.roots = where, roots
        buffer.output.copy_(output)
        buffer.version = buffer.output._version
        self.valid.add(index)
        return buffer.output

    def invalidate(self, written: frozenset[int]) -> None:
        """These arguments of the call are other ones now, by number."""
        self.valid -= {index for index in self.valid if self._buffers[index].roots & written}

    def changed(self) -> bool:
        """Whether somebody else has written to an output."""
        return any(buffer.output._version != buffer.version for buffer in self._buffers.values())

    def drop(self, context: ContextKey) -> None:
        """Nothing is freed."""

    def clear(self) -> None:
        """Nothing is freed."""

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All buffers."""
        return [buffer.output for buffer in self._buffers.values()]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return nbytes_of(self.tensors)

    def _roots(self, given: torch.Tensor) -> frozenset[int] | None:
        """The arguments that a tensor was made of, by number; None where that cannot be said."""
        memory = given.untyped_storage().data_ptr()
        for number, tensor in enumerate(self._inputs):
            if tensor.untyped_storage().data_ptr() == memory:
                return frozenset((number,))
        for index in self.valid:
            if self._buffers[index].output.untyped_storage().data_ptr() == memory:
                return self._buffers[index].roots
        return None
