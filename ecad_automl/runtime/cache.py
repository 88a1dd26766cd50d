"""What is kept in a run, for each guidance branch with its own transformer calls: outputs of slots and of the text."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from ecad_automl.runtime.steps import ContextKey

Key = TypeVar("Key")
Value = TypeVar("Value")

#: What a component returns: FLUX's joint attention returns a tuple.
Output = torch.Tensor | tuple[torch.Tensor, ...]

#: Number of a slot, and of the call of it in a forward of its block.
Entry = tuple[int, int]

#: The step that an output was computed at, after number of the slot and of the call.
OutputKey = tuple[int, int, int]


class Kept(NamedTuple):
    """A tensor as it is kept, what it was, and whether it went through the activation that alone reads it."""

    tensor: torch.Tensor
    dtype: torch.dtype
    device: torch.device
    activated: bool = False


#: The cached outputs of one guidance branch. Neither the lists nor the tensors are ever written to.
CachedOutputs = Mapping[OutputKey, list[Kept]]


class _ByBranch(Generic[Key, Value]):
    """What is kept in a run, each guidance branch for itself."""

    def __init__(self) -> None:
        self._contexts: dict[Hashable, dict[Key, Value]] = {}
        self._entries: dict[Key, Value] = {}  # of the branch that a transformer call is of

    def begin(self, context: Hashable) -> None:
        """Keep and read in that guidance branch from now on."""
        self._entries = self._contexts.setdefault(context, {})

    def drop(self, context: Hashable) -> None:
        """Free what a guidance branch has."""
        self._contexts.pop(context, None)

    def clear(self) -> None:
        """Free everything."""
        self._contexts.clear()
        self._entries = {}


class OutputCache(_ByBranch[OutputKey, list[Kept]]):
    """Cached outputs of slots, and of the transformer: the tensors of each output.

    Args:
        dtype: of kept floating-point tensors; as they come if None.
        device: where tensors are kept; where they come from if None.
    """

    def __init__(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> None:
        super().__init__()
        self.dtype, self.device = dtype, device

    def store(
        self,
        key: OutputKey,
        tensors: Iterable[torch.Tensor],
        frees: Iterable[int] = (),
        *,
        as_is: bool = False,
        activated: bool = False,
    ) -> None:
        """Keep the tensors of an output, in the place of those of other steps; ``as_is`` without any conversion."""
        for step in frees:
            self._entries.pop((*key[:2], step), None)
        converted = (lambda tensor: tensor) if as_is else self._converted
        self._entries[key] = [Kept(converted(tensor), tensor.dtype, tensor.device, activated) for tensor in tensors]

    def read(self, key: OutputKey, *, last: bool) -> list[torch.Tensor]:
        """The tensors of an output, as they were; freed if this was the last reader."""
        kept = self._entries.pop(key) if last else self._entries[key]
        if self.dtype is None and self.device is None:
            return [tensor for tensor, *_ in kept]
        return [tensor.to(device=device, dtype=dtype) for tensor, dtype, device, _ in kept]

    def is_activated(self, key: OutputKey) -> bool:
        """Whether an output went through its activation before it was kept."""
        return key in self._entries and any(kept.activated for kept in self._entries[key])

    def __contains__(self, key: OutputKey) -> bool:
        return key in self._entries

    def outputs(self, context: ContextKey) -> CachedOutputs:
        """What is kept for one context now; later changes do not show in it."""
        return dict(self._contexts.get(context, {}))

    def replace(self, context: ContextKey, outputs: CachedOutputs) -> None:
        """Keep these for one context, and store and read in it from now on."""
        self._entries = self._contexts[context] = dict(outputs)

    def free(self, context: ContextKey, is_needed: Callable[[OutputKey], bool]) -> None:
        """Free the entries of one context that are not needed."""
        entries = self._contexts.get(context, {})
        for key in [key for key in entries if not is_needed(key)]:
            del entries[key]

    @property
    def nbytes(self) -> int:
        """Bytes held: the storages of all entries, each counted once."""
        storages = {}
        for entries in self._contexts.values():
            for kept in entries.values():
                for tensor, *_ in kept:
                    storage = tensor.untyped_storage()
                    storages[storage.data_ptr()] = storage.nbytes()
        return sum(storages.values())

    def _converted(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device=self.device, dtype=self.dtype if tensor.is_floating_point() else None)


@dataclass(frozen=True)
class _KeptText:
    """What a module was given, and what it made of it."""

    given: torch.Tensor
    given_version: int
    output: torch.Tensor
    output_version: int

    def serves(self, value: torch.Tensor) -> bool:
        """Whether ``value`` is what the module was given: the same memory, not written to since."""
        return (
            value.data_ptr() == self.given.data_ptr()
            and value.shape == self.given.shape
            and value.stride() == self.given.stride()
            and value.dtype == self.given.dtype
            and value._version == self.given_version
            and self.output._version == self.output_version
        )


class TextOutputs(_ByBranch[int, _KeptText]):
    """What modules give that see nothing but the text, by their numbers: the same in every step, done once in a run.

    Nothing is taken on trust: an output is given again only for the very memory it was made of, as long as neither
    has been written to. What was given is held, so that its memory cannot become another text's.
    """

    def visit(self, index: int, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the text module number ``index``."""
        if kwargs or len(args) != 1 or not isinstance(args[0], torch.Tensor) or torch.is_grad_enabled():
            return forward(*args, **kwargs)
        given = args[0]
        if given.is_inference():  # writes to it are not counted
            return forward(given)
        kept = self._entries.get(index)
        if kept is None or not kept.serves(given):
            output = forward(given)
            if not isinstance(output, torch.Tensor) or output.is_inference():
                return output
            kept = self._entries[index] = _KeptText(given, given._version, output, output._version)
        return kept.output


def forecast(last: torch.Tensor, before: torch.Tensor, coefficients: tuple[float, ...]) -> torch.Tensor:
    """A tensor from those of the last two computed outputs, in their own type; the last one's unless floating-point."""
    if not last.is_floating_point():
        return last
    return (last * coefficients[0]).add_(before, alpha=coefficients[1])


def tensors_in(output: object) -> tuple[torch.Tensor, ...]:
    """The tensors in a value, which may be one or a tuple of them; none where it is anything else."""
    if isinstance(output, torch.Tensor):
        return (output,)
    if isinstance(output, (tuple, list)):
        return tuple(tensor for part in output for tensor in tensors_in(part))
    return ()
