"""CUDA graphs without a GPU: operations are noted on the way to the CPU, and done again on the same memory.

As unforgiving as the real ones, and more so:

- A capture does no work: what it wrote to memory from outside is put back, and what it made is filled with garbage.
- Memory made in a capture belongs to the pool, and is garbage again before every replay of any graph: whatever was
  left there for somebody else is lost. (Real graphs may, or may not, overwrite each other.)
- A graph knows addresses, not tensors: it holds nothing from outside of the pool, and reading memory that is gone is
  an error.
- Whatever makes the host wait for the device, or needs it to look at data, is an error, as are random numbers.
- A replay runs none of the Python that was captured, and counts no versions up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch.autograd import _unsafe_preserve_version_counter
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["CaptureError", "FreedMemoryError", "SimulatedCapturer"]

_WAITS = {
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::is_nonzero",
    "aten::equal",
    "aten::repeat_interleave.Tensor",
}
_WAITING_METHODS = {"cpu", "numpy", "tolist", "item", "__array__", "__bool__", "__int__", "__float__", "__index__"}


class CaptureError(RuntimeError):
    """What CUDA says to a capture that does something that it cannot hold."""


class FreedMemoryError(AssertionError):
    """A graph reads or writes memory that nobody holds any more; no error for CUDA, but garbage."""


class SimulatedCapturer:
    """Captures on the CPU.

    Attributes:
        captures: how many were made.
        replays: how many were replayed.
        failing: raised by the next captures, if given.
    """

    def __init__(self) -> None:
        self.captures = self.replays = self.warm_ups = 0
        self.failing: Exception | None = None
        self._pool: dict[int, torch.UntypedStorage] = {}

    def warm_up(self, function: Callable[[], Any]) -> Any:
        self.warm_ups += 1
        return function()

    def capture(self, function: Callable[[], Any]) -> SimulatedGraph:
        mode = _Capture()
        try:
            # Dynamo runs nothing under a mode: what was compiled is captured as it was before.
            with torch.compiler.set_stance("force_eager"), mode, _NoWaiting():
                result = function()
                if self.failing is not None:
                    raise self.failing
        finally:
            mode.undo()
        self.captures += 1
        self._pool.update(mode.made)
        self.poison()
        return SimulatedGraph(self, mode.operations, result)

    def poison(self) -> None:
        """Fill the pool with what cannot be mistaken for a result."""
        for storage in self._pool.values():
            _poison(storage)


class SimulatedGraph:
    """What was captured."""

    def __init__(self, capturer: SimulatedCapturer, operations: list[_Operation], result: Any) -> None:
        self.result = result
        self._capturer, self._operations = capturer, operations

    def replay(self) -> None:
        self._capturer.poison()
        with torch.inference_mode():  # in which inference tensors can be written to, and others too
            for operation in self._operations:
                operation.replay()
        self._capturer.replays += 1


class _Address:
    """A tensor from outside of the pool, by where it lies."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._storage = StorageWeakRef(tensor.untyped_storage())
        self._view = tensor.storage_offset(), tensor.size(), tensor.stride()
        self._dtype = tensor.dtype
        self._is_conj = tensor.is_conj()

    def tensor(self) -> torch.Tensor:
        storage = torch.UntypedStorage._new_with_weak_ptr(self._storage.cdata)
        if storage is None:
            raise FreedMemoryError(f"a graph uses freed memory of a tensor of size {tuple(self._view[1])}")
        assert not self._is_conj
        return torch.empty(0, dtype=self._dtype).set_(storage, *self._view)


class _Operation:
    def __init__(self, function: Any, args: Any, kwargs: Any, output: Any, writes: bool) -> None:
        self._function, self._args, self._kwargs, self._output, self._writes = function, args, kwargs, output, writes

    def replay(self) -> None:
        args, kwargs = tree_map_only(_Address, _Address.tensor, (self._args, self._kwargs))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        with ExitStack() as stack:
            if self._writes:
                stack.enter_context(_uncounted(tensors))
            output = self._function(*args, **kwargs)
        if self._writes:
            return
        for old, new in zip(tree_leaves(self._output), tree_leaves(output), strict=True):
            if isinstance(old, torch.Tensor):
                with _uncounted([old]):
                    old.copy_(new)


class _Capture(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[_Operation] = []
        self.made: dict[int, torch.UntypedStorage] = {}
        self._written: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name + (f".{func._overloadname}" if func._overloadname != "default" else "")
        if name in _WAITS or func._schema.name in _WAITS:
            raise CaptureError(f"operation not permitted when stream is capturing: {name}")
        if name == "aten::index.Tensor":
            by_mask = any(index.dtype in (torch.bool, torch.uint8) for index in _tensors(args[1]))
        else:
            by_mask = torch.Tag.dynamic_output_shape in func.tags
        if by_mask:
            raise CaptureError(f"operation not permitted when stream is capturing: {name}")
        writes = func._schema.is_mutable
        inputs = {leaf.untyped_storage().data_ptr() for leaf in _tensors((args, kwargs))}
        if writes:
            for tensor in self._mutated(func, args, kwargs):
                self._remember(tensor)
        random = torch.get_rng_state()
        output = func(*args, **kwargs)
        if not torch.equal(torch.get_rng_state(), random):
            raise CaptureError(f"random numbers in a capture: {name}")
        is_view = not writes and any(leaf.untyped_storage().data_ptr() in inputs for leaf in _tensors(output))
        if writes or not is_view:
            if not writes:
                for tensor in _tensors(output):
                    storage = tensor.untyped_storage()
                    self.made[storage.data_ptr()] = storage
            # A view is but another way to look at memory.
            noted = tree_map_only(torch.Tensor, self._noted, (args, kwargs))
            self.operations.append(_Operation(func, *noted, None if writes else output, writes))
        return output

    def undo(self) -> None:
        """Put back what was written to memory from outside, without counting versions."""
        for storage, before in self._written.values():
            storage.copy_(before)

    def _noted(self, tensor: torch.Tensor) -> Any:
        return tensor if tensor.untyped_storage().data_ptr() in self.made else _Address(tensor)

    def _mutated(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
        found = []
        for number, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[number] if number < len(args) else kwargs.get(argument.name)
                found += _tensors(value)
        return found

    def _remember(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        at = storage.data_ptr()
        if at not in self.made and at not in self._written:
            self._written[at] = storage, storage.clone()


class _NoWaiting(TorchFunctionMode):
    """Refuses what would be seen by CUDA alone, since on a CPU nothing is copied between devices.

    A tensor that is made of nothing and without a device lies on the host, as all that is made of such ones. It cannot
    meet one on the device: copies from memory that is not pinned are not allowed. Only numbers may.
    """

    def __init__(self) -> None:
        super().__init__()
        self._host: dict[int, torch.UntypedStorage] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _WAITING_METHODS:
            raise CaptureError(f"operation not permitted when stream is capturing: {name}")
        inputs = _tensors((args, kwargs))
        on_host = [tensor for tensor in inputs if tensor.untyped_storage().data_ptr() in self._host]
        has_device = any(isinstance(leaf, torch.device) for leaf in tree_leaves((args, kwargs)))
        has_device = has_device or kwargs.get("device") is not None
        if func in (torch.tensor, torch.as_tensor, torch.from_numpy) and has_device:
            raise CaptureError(f"cannot copy from unpinned memory during capture: {name} with a device")
        if any(tensor.ndim for tensor in on_host) and (has_device or len(on_host) < len(inputs)):
            raise CaptureError(f"cannot copy from unpinned memory during capture: {name}")
        output = func(*args, **kwargs)
        if (not inputs and not has_device) or (on_host and len(on_host) == len(inputs)):
            storages = [tensor.untyped_storage() for tensor in _tensors(output)]
            self._host.update({storage.data_ptr(): storage for storage in storages})
        return output


def _uncounted(tensors: list[torch.Tensor]) -> _unsafe_preserve_version_counter:
    return _unsafe_preserve_version_counter(tuple(tensor for tensor in tensors if not tensor.is_inference()))


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _poison(storage: torch.UntypedStorage) -> None:
    # Bytes of ones: NaN in every floating-point type, -1 in integers, and True where it may have been False.
    storage.fill_(255)
