"""Recording what a block does in one forward, as a graph of PyTorch operations and calls of modules."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodWrapperType
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from ecad_automl.patching import replaced
from ecad_automl.runtime.blocks import Block, Forward, SlotCall, Visit, visited_slots
from ecad_automl.runtime.cache import Output, tensors_in
from ecad_automl.runtime.structure import OpaqueValueError, Spec, flatten

# What may be asked of a tensor without reading its elements.
_METADATA = frozenset(
    (
        *("dim", "ndimension", "size", "stride", "numel", "nelement", "element_size", "storage_offset", "__len__"),
        *("is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_pinned", "is_inference"),
        *("get_device", "type"),
    )
)


class RecordedSlot(NamedTuple):
    """A call of a slot: the node of the call, the spec of its output, and the nodes of the output's tensors."""

    call: fx.Node
    output: Spec
    tensors: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Recording:
    """What a block did.

    Args:
        graph: its placeholders are the tensors of the arguments, in order; its output is a tuple of the tensors of
            the result. Slots and other modules that do the work are calls of modules.
        slots: each call of a slot.
        result: the spec of the block's result.
    """

    graph: fx.Graph
    slots: Mapping[SlotCall, RecordedSlot]
    result: Spec


class _UnrecordableError(Exception):
    """The forward does something that a graph cannot hold."""


def record(
    block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], visit: Visit
) -> tuple[Any, Recording | str]:
    """Run a block's forward, and record it.

    The operations are seen as they happen on the real tensors, so any control flow is followed; what depends on the
    shapes or constants in the arguments is fixed in the graph, which so holds for arguments of equal spec.

    Returns:
        The result of the forward, and the recording, or why it cannot be recorded, as when it reads elements of
        tensors or changes tensors in place.

    Raises:
        CacheStateError: the slots were not called as often as they should.
    """
    recorder = _Recorder(block, visit)
    for name, module in block.module.named_modules():
        # They run around the forwards that stand in, so what they compute would be recorded as well as done again.
        if name and (module._forward_hooks or module._forward_pre_hooks):
            recorder.refuse(f"has PyTorch hooks on {name}")
    try:
        recorder.take_inputs((args, kwargs))
    except OpaqueValueError as error:
        recorder.refuse(f"gets {error}")
    with replaced("forward", *recorder.leaves()), visited_slots(block, recorder.visit_slot), recorder:
        result = forward(*args, **kwargs)
    return result, recorder.finish(result)


class _Recorder(TorchFunctionMode):
    def __init__(self, block: Block, visit: Visit) -> None:
        super().__init__()
        self.why_not: str | None = None
        self._block, self._visit = block, visit
        self._graph = fx.Graph()
        self._slots: dict[SlotCall, RecordedSlot] = {}
        self._nodes: dict[int, fx.Node] = {}
        self._held: dict[int, weakref.ref[torch.Tensor]] = {}  # so that no id comes back for another tensor
        self._inside = False  # a module that is one node
        self._parameters = {
            id(value): name
            for values in (block.module.named_parameters(), block.module.named_buffers())
            for name, value in values
        }

    def refuse(self, reason: str) -> None:
        self.why_not = self.why_not or reason

    def take_inputs(self, arguments: object) -> None:
        for number, tensor in enumerate(flatten(arguments)[1]):
            self._know(tensor, self._graph.placeholder(f"input_{number}"))

    def leaves(self) -> list[tuple[nn.Module, Forward]]:
        """The modules beside the slots that are to be one node each, with what stands in for their forwards."""
        slots = self._block.modules
        return [
            (leaf, self._leaf(path, leaf))
            for name, module in self._block.module.named_children()
            for path, leaf in _leaves(name, module, slots)
        ]

    def _leaf(self, name: str, module: nn.Module) -> Forward:
        has_weights = any(value.ndim > 1 for value in module.parameters())
        linear, activation = is_plain_linear(module), _is_activation(module)
        forward = module.forward

        def recorded(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return forward(*args, **kwargs)
            with self._one_node():
                output = forward(*args, **kwargs)
            noted = self._note("call_module", name, args, kwargs, output, counted=has_weights)
            if linear and noted is not None and len(args) == 1 and not kwargs:
                noted[0].meta["linear"] = "biased" if module.bias is not None else "plain"
            if activation and noted is not None:
                noted[0].meta["activation"] = True
            return output

        return recorded

    def visit_slot(self, call: SlotCall, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
        """The output of a slot."""
        with self._one_node():
            output = self._visit(call, forward, args, kwargs)
        noted = self._note("call_module", self._block.components[call[0]].name, args, kwargs, output)
        if noted is not None:
            self._note_slot(call, *noted, output)
        return output

    @contextmanager
    def _one_node(self) -> Iterator[None]:
        """Nothing that happens in here is recorded."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def __torch_function__(
        self, func: Any, _types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if not self._inside and self.why_not is None:
            self._note_function(func, args, kwargs, output)
        return output

    def _note_function(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        name = getattr(func, "__name__", "")
        if isinstance(func, MethodWrapperType):  # the getter or setter of an attribute of tensors
            if name != "__get__":
                self.refuse(f"sets {name}")
            elif isinstance(output, torch.Tensor):
                self._note("call_function", getattr, (args[0], getattr(func.__self__, "__name__", "")), {}, output)
            return
        if not tensors_in(output):
            if name not in _METADATA:
                self.refuse(f"reads the value of a tensor by {name}")
            return
        if _changes_in_place(name) or kwargs.get("out") is not None:
            self.refuse(f"changes a tensor in place by {name}")
        elif name == "__getitem__":
            self._note("call_function", operator.getitem, args, kwargs, output)
        elif getattr(torch.Tensor, name, None) is func:
            self._note("call_method", name, args, kwargs, output)
        else:
            self._note("call_function", func, args, kwargs, output)

    def _note(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
        *,
        counted: bool = False,
    ) -> tuple[fx.Node, tuple[fx.Node, ...]] | None:
        """Add a node, and return it and those of the tensors of its output; ``counted`` if it has MACs."""
        if self.why_not is not None:
            return None
        try:
            node = self._graph.create_node(kind, target, self._named(args), self._named(kwargs))
        except _UnrecordableError as error:
            self.refuse(str(error))
            return None
        node.meta["counted"] = counted
        return node, tuple(self._note_parts(node, output))

    def _note_parts(self, node: fx.Node, output: Any) -> Iterable[fx.Node]:
        if isinstance(output, torch.Tensor):
            self._know(output, node)
            yield node
        elif isinstance(output, (tuple, list)):
            for number, part in enumerate(output):
                if tensors_in(part):
                    item = self._graph.call_function(operator.getitem, (node, number))
                    yield from self._note_parts(item, part)
        elif output is not None:
            self.refuse(f"returns a {type(output).__name__}")

    def _note_slot(self, call: SlotCall, node: fx.Node, tensors: tuple[fx.Node, ...], output: Any) -> None:
        try:
            self._slots[call] = RecordedSlot(node, flatten(output)[0], tensors)
        except OpaqueValueError as error:
            self.refuse(f"has a slot that returns {error}")

    def _know(self, tensor: torch.Tensor, node: fx.Node) -> None:
        node.meta["dtype"], node.meta["shape"] = tensor.dtype, tensor.shape
        node.meta["dense"] = tensor.is_contiguous()
        number, nodes = id(tensor), self._nodes
        nodes[number] = node
        self._held[number] = weakref.ref(tensor, lambda _: nodes.pop(number, None))

    def _named(self, value: Any) -> Any:
        """A value with nodes in the place of tensors."""
        if isinstance(value, torch.Tensor):
            if id(value) not in self._nodes:
                if id(value) not in self._parameters:
                    raise _UnrecordableError("uses a tensor from elsewhere")
                self._know(value, self._graph.get_attr(self._parameters[id(value)]))
            return self._nodes[id(value)]
        if isinstance(value, torch.Size):
            return tuple(value)
        if type(value) in (tuple, list):
            return type(value)(self._named(part) for part in value)
        if type(value) is dict:
            return {key: self._named(part) for key, part in value.items()}
        if isinstance(value, slice):
            return slice(self._named(value.start), self._named(value.stop), self._named(value.step))
        if value is None or value is Ellipsis:
            return value
        if not isinstance(value, (bool, int, float, str, torch.dtype, torch.device, torch.memory_format)):
            raise _UnrecordableError(f"uses a {type(value).__name__}")
        return value

    def finish(self, result: object) -> Recording | str:
        """The recording, or why there is none, once the forward is over."""
        try:
            spec, tensors = flatten(result)
            outputs = tuple(self._named(tensor) for tensor in tensors)
        except OpaqueValueError as error:
            self.refuse(f"returns {error}")
        except _UnrecordableError as error:
            self.refuse(str(error))
        self._held.clear()
        self._nodes.clear()
        if self.why_not is not None:
            return f"it {self.why_not}"
        self._graph.output(outputs)
        return Recording(self._graph, self._slots, spec)


def _leaves(name: str, module: nn.Module, slots: Collection[nn.Module]) -> Iterable[tuple[str, nn.Module]]:
    """The modules below ``module``, itself included, that are one node each: not its slots."""
    if module in slots:
        return
    if not _is_transparent(module):
        yield name, module
        return
    for child, below in module.named_children():
        yield from _leaves(f"{name}.{child}", below, slots)


def is_plain_linear(module: nn.Module) -> bool:
    """Whether calling a module is ``linear(x, weight, bias)`` with tensors of the usual kind, and nothing else."""
    if type(module) is not nn.Linear or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks:
        return False
    return type(module.weight) is nn.Parameter and (module.bias is None or type(module.bias) is nn.Parameter)


def _is_activation(module: nn.Module) -> bool:
    """Whether calling a module gives a function of each element by itself."""
    return type(module) in (nn.GELU, nn.SiLU, nn.ReLU, nn.Tanh, nn.Sigmoid) and not (
        "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks
    )


def _is_transparent(module: nn.Module) -> bool:
    """Whether calling a module is the same as calling its children by its class's forward, now and later.

    So are modules of diffusers that arrange others, such as the adaptive norms; not those of PEFT, which change what
    they do, and none that something is hooked to.
    """
    return (
        bool(module._modules)
        and (type(module).__module__.startswith("diffusers.") or isinstance(module, (nn.Sequential, nn.ModuleList)))
        and "forward" not in vars(module)
        and not (module._forward_hooks or module._forward_pre_hooks)
    )


def _changes_in_place(name: str) -> bool:
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in ("__invert__", "__index__", "__int__"))
    return name.endswith("_")
