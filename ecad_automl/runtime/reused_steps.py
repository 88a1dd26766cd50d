"""Steps in which all blocks are reused, as one function of the whole transformer.

The transformer's own forward is recorded like that of a block, with its blocks as the slots. The recordings of these,
with cached outputs in the place of their slots, are put into it, and what nothing reads is left out, as text that only
blocks would have read. So such a step calls no block, and nothing that is done between them is missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn

from ecad_automl.runtime.blocks import Block, Forward, SlotCall
from ecad_automl.runtime.cache import Output
from ecad_automl.runtime.families import Component
from ecad_automl.runtime.fuse import Term, fuse_adds
from ecad_automl.runtime.hooks import has_only_ours
from ecad_automl.runtime.plan import Action
from ecad_automl.runtime.program import Functions, Program, Step, argument, drop_unread, function_of
from ecad_automl.runtime.record import Recording, record
from ecad_automl.runtime.structure import Arguments, OpaqueValueError, Signature, rebuild

#: What is done with each slot, block by block.
Rows = tuple[tuple[Action, ...], ...]

#: Making a function takes as long as a few of its calls save.
_CALLS_BEFORE = 2
# Kept at most.
_MAX_FUNCTIONS = 64

#: Layers of PEFT: the forwards of diffusers' transformers set the scales of these before all else, and back after.
_SCALED_BY_FORWARD = "peft."


@dataclass(frozen=True)
class _Recorded:
    """The transformer's forward, and the form of each block's arguments in it."""

    recording: Recording
    blocks: tuple[Signature, ...]


@dataclass(frozen=True)
class ReusedStep:
    """A transformer call in which all blocks are reused.

    Args:
        function: takes the modules, the tensors of the transformer's arguments, and for each block what ``steps`` says:
            cached outputs, and the coefficients of forecasts.
        modules: those that are called, or have parameters that are read.
        steps: what each block reads.
        result: the spec of the transformer's result.
    """

    function: Callable[..., tuple[torch.Tensor, ...]]
    modules: SimpleNamespace
    steps: tuple[Step, ...]
    result: Any

    def run(self, tensors: Sequence[Any]) -> Any:
        """The result of the call."""
        return rebuild(self.result, self.function(self.modules, *tensors))


class ReusedSteps:
    """Makes and keeps these functions of a transformer.

    Args:
        functions: where the programs of blocks are.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._forgotten = functions.forgotten
        self._recorded: dict[Signature, _Recorded | None] = {}
        self._made: dict[tuple[Signature, Rows], ReusedStep | None] = {}
        self._calls: Counter[tuple[Signature, Rows]] = Counter()
        self._arguments = Arguments()
        self._blocks: tuple[Block, ...] = ()
        self._transformer: Block | None = None
        self._outside: tuple[nn.Module, ...] = ()
        self._is_plain: bool | None = None  # in this run

    def take(self, blocks: tuple[Block, ...], transformer: nn.Module) -> None:
        """From now on, for that transformer."""
        inside = {module for block in blocks for module in block.module.modules()}
        self._outside = tuple(module for module in transformer.modules() if module not in inside)
        self._blocks = blocks
        self._transformer = Block("transformer", transformer, 0, tuple(Component(block.path) for block in blocks))
        self._is_plain = None

    def begin_run(self) -> None:
        """A run begins; modules may have been hooked since the last one."""
        self._is_plain = None
        self._arguments.forget()

    def forward(
        self, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any], rows: Rows | None
    ) -> tuple[ReusedStep, list[torch.Tensor]] | Any:
        """The result of a call that is made with blocks one by one, or what to run in its place and its tensors.

        Args:
            forward: the transformer's own.
            args: of the call.
            kwargs: of the call.
            rows: what is done in the blocks if all are reused; None where not.
        """
        assert self._transformer is not None
        if self._forgotten != self._functions.forgotten:
            self._forgotten = self._functions.forgotten
            for known in (self._recorded, self._made, self._calls):
                known.clear()
        if torch.is_grad_enabled() or not self._can_be_recorded(forward):
            return forward(*args, **kwargs)
        try:
            spec, tensors = self._arguments.flatten(args, kwargs, training=self._transformer.module.training)
        except OpaqueValueError:
            return forward(*args, **kwargs)
        if spec not in self._recorded:
            return self._record(spec, forward, args, kwargs)
        recorded = self._recorded[spec]
        if recorded is not None and rows is not None:
            found = self._function(spec, recorded, rows)
            if found is not None:
                return found, tensors
        return forward(*args, **kwargs)

    def _can_be_recorded(self, forward: Forward) -> bool:
        """Whether modules do what their classes say, in this run, and the transformer nothing beside."""
        assert self._transformer is not None
        root = self._transformer.module
        if self._is_plain is None:
            blocks = [block.module for block in self._blocks]
            self._is_plain = (
                all(block.whole is None for block in self._blocks)
                and not any(type(module).__module__.startswith(_SCALED_BY_FORWARD) for module in root.modules())
                and all(
                    has_only_ours(module) and not module._forward_hooks and not module._forward_pre_hooks
                    for module in (*self._outside, *blocks)
                    if module is not root
                )
            )
        return self._is_plain and getattr(forward, "__func__", None) is type(root).forward

    def _record(self, spec: Signature, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._transformer is not None
        found: dict[int, Signature] = {}

        def visit(call: SlotCall, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
            training = self._blocks[call[0]].module.training
            found[call[0]], _ = Arguments().flatten(args, kwargs, training=training)
            output: Output = compute(*args, **kwargs)
            return output

        self._recorded[spec] = None
        result, recording = record(self._transformer, forward, args, kwargs, visit)
        if isinstance(recording, Recording):
            self._recorded[spec] = _Recorded(recording, tuple(found[index] for index in range(len(self._blocks))))
        return result

    def _function(self, spec: Signature, recorded: _Recorded, rows: Rows) -> ReusedStep | None:
        key = spec, rows
        if key not in self._made:
            self._calls[key] += 1
            if self._calls[key] <= _CALLS_BEFORE:
                return None
            if len(self._made) >= _MAX_FUNCTIONS:
                self._made.clear()
            self._made[key] = self._make(recorded, rows)
        return self._made[key]

    def _make(self, recorded: _Recorded, rows: Rows) -> ReusedStep | None:
        steps = []
        for block, spec, row in zip(self._blocks, recorded.blocks, rows, strict=True):
            program = self._functions.blocks[block.module].get(spec)
            if not isinstance(program, Program):
                return None
            steps.append(program.step(row, fuses=False))
        graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
        results = graph.graph_copy(recorded.recording.graph, copied)
        cached: dict[fx.Node, tuple[Term, ...]] = {}
        inside: set[fx.Node] = set()
        for index, (block, step) in enumerate(zip(self._blocks, steps, strict=True)):
            slot = recorded.recording.slots[index, 0]
            call = copied[slot.call]
            call.meta["counted"] = False
            given, nodes = _put_in(graph, call, block.path, step, cached)
            inside |= nodes
            for tensor, result in zip(slot.tensors, given, strict=True):
                copied[tensor].replace_all_uses_with(result)
        graph.output(results)
        drop_unread(graph)
        _share_activations(graph, self._blocks)
        fuse_adds(graph, cached, within=inside)  # and nothing that is computed in other steps too
        drop_unread(graph)
        assert self._transformer is not None
        modules = _by_short_names(graph, self._transformer.module)
        return ReusedStep(function_of(graph), modules, tuple(steps), recorded.recording.result)


def _put_in(
    graph: fx.Graph, call: fx.Node, path: str, step: Step, cached: dict[fx.Node, tuple[Term, ...]]
) -> tuple[list[fx.Node], set[fx.Node]]:
    """Put a block in the place of a call of it; gives the nodes of its results, and all that were put there."""
    given = list(_nodes((call.args, call.kwargs)))
    known: dict[fx.Node, fx.Node] = {}
    for node in step.graph.nodes:
        if node.op == "placeholder":
            known[node] = given.pop(0) if given else argument(graph, node.name, node if node.meta else None)
        elif node.op == "output":
            break
        else:
            with graph.inserting_before(call):
                known[node] = graph.node_copy(node, known.__getitem__)
            # What the block computes is counted, and so computed, whether the last block's text is read or not.
            known[node].meta["counted"] = node.target is nn.functional.linear or "linear" in node.meta
            if node.op in ("call_module", "get_attr"):
                known[node].target = f"{path}.{node.target}"
    for node, terms in step.cached.items():
        if node in known:
            cached[known[node]] = tuple(
                (known[output], None if scale is None else known[scale]) for output, scale in terms
            )
    outputs: Any = step.graph.output_node().args[0]
    return [known[node] for node in outputs[: len(step.results)]], set(known.values())


def _by_short_names(graph: fx.Graph, root: nn.Module) -> SimpleNamespace:
    """Have a graph take modules from a namespace: finding them by their paths takes as long as small operations."""
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            owner, _, attribute = (
                (str(node.target), "", "") if node.op == "call_module" else node.target.rpartition(".")
            )
            name = names.setdefault(owner, f"module_{len(names)}")
            node.target = f"{name}.{attribute}" if attribute else name
    return SimpleNamespace(**{name: root.get_submodule(path) for path, name in names.items()})


def _nodes(value: Any) -> Iterator[fx.Node]:
    """The nodes in arguments, in the order in which these are taken apart."""
    if isinstance(value, fx.Node):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _nodes(part)


def _share_activations(graph: fx.Graph, blocks: Sequence[Block]) -> None:
    """Do once what blocks do to what all of them get, as the activation of an embedding of the time."""
    modules = {f"{block.path}.{name}": module for block in blocks for name, module in block.module.named_modules()}
    known: dict[tuple[str, fx.Node], fx.Node] = {}
    for node in list(graph.nodes):
        if node.meta.get("activation") and node.target in modules and len(node.args) == 1:
            first = known.setdefault((repr(modules[node.target]), node.args[0]), node)
            if first is not node:
                node.replace_all_uses_with(first)
                graph.erase_node(node)
