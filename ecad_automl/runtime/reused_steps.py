"""Transformer calls that are a function of the whole transformer, which calls no block.

The transformer's own forward is recorded like that of a block, with its blocks as the slots. Where all of these are
reused, their recordings, with cached outputs in the place of their slots, are put into it, and what nothing reads is
left out, as text that only blocks would have read. Elsewhere the functions of blocks are run in their places, without
what is between a call of a block and its function. Nothing that is done between blocks is missed.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn

from ecad_automl.runtime.ahead import Ahead, Conditions, Prepared
from ecad_automl.runtime.blocks import Block, Forward, SlotCall
from ecad_automl.runtime.cache import Output
from ecad_automl.runtime.families import Component
from ecad_automl.runtime.fuse import Term, fuse_adds
from ecad_automl.runtime.graphs import argument, drop_unread, function_of
from ecad_automl.runtime.hooks import has_only_ours
from ecad_automl.runtime.modulations import LayerRows
from ecad_automl.runtime.plan import Action, StepRows
from ecad_automl.runtime.program import Functions, Program, Step
from ecad_automl.runtime.record import Recording, record
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.runtime.structure import Arguments, OpaqueValueError, Signature, rebuild

#: Runs a block, given its number, itself, its program and the numbers of the arguments that rows were made of ahead, on
#: the tensors of its arguments.
RunBlock = Callable[..., tuple[torch.Tensor, ...]]

_Copied = dict[fx.Node, fx.Node]

#: What is done with each slot, block by block.
Rows = tuple[tuple[Action, ...], ...]

#: Making a function takes as long as a few of its calls save.
_CALLS_BEFORE = 2
# Kept at most.
_MAX_FUNCTIONS = 64

#: Layers of PEFT: the forwards of diffusers' transformers set the scales of these before all else, and back after.
_SCALED_BY_FORWARD = "peft."

#: Names of what runs blocks, before their numbers.
_RUN = "run_block_"


@dataclass(frozen=True)
class _Recorded:
    """The transformer's forward, and the form of each block's arguments in it."""

    recording: Recording
    blocks: tuple[Signature, ...]


@dataclass(frozen=True)
class ReusedStep:
    """A transformer call in which all blocks are reused.

    Args:
        function: takes the modules, the tensors of the transformer's arguments, conditions that were made ahead, and
            for each block what ``steps`` says: cached outputs, the coefficients of forecasts, and rows made ahead.
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


@dataclass(frozen=True)
class Outside:
    """What a transformer does outside of its blocks, which are run one by one without being called.

    Args:
        function: takes the modules, the tensors of the transformer's arguments, and conditions that were made ahead.
        modules: those that are called, or have parameters that are read, and in the place of each block what runs it.
        result: the spec of the transformer's result.
    """

    function: Callable[..., tuple[torch.Tensor, ...]]
    modules: SimpleNamespace
    result: Any

    def run(self, tensors: Sequence[torch.Tensor]) -> Any:
        """The result of the call."""
        return rebuild(self.result, self.function(self.modules, *tensors))


class ReusedSteps:
    """Makes and keeps these functions of a transformer.

    Args:
        functions: where the programs of blocks are.
        run_block: see :data:`RunBlock`.
    """

    def __init__(self, functions: Functions, run_block: RunBlock) -> None:
        self._functions = functions
        self._run_block = run_block
        self._forgotten = functions.forgotten
        self._recorded: dict[Signature, _Recorded | None] = {}
        self._made: dict[tuple[Signature, Rows, bool], ReusedStep | None] = {}
        self._calls: Counter[tuple[Signature, Rows]] = Counter()
        self._outside: dict[tuple[Signature, bool], Outside | None] = {}
        self._conditions: dict[Signature, Conditions | None] = {}
        self._ahead = Ahead()
        self._arguments = Arguments()
        self._blocks: tuple[Block, ...] = ()
        self._transformer: Block | None = None
        self._other_modules: tuple[nn.Module, ...] = ()
        self._is_plain: bool | None = None  # in this run

    def take(self, blocks: tuple[Block, ...], transformer: nn.Module) -> None:
        """From now on, for that transformer."""
        inside = {module for block in blocks for module in block.module.modules()}
        self._other_modules = tuple(module for module in transformer.modules() if module not in inside)
        self._blocks = blocks
        self._transformer = Block("transformer", transformer, 0, tuple(Component(block.path) for block in blocks))
        self._is_plain = None

    def begin_run(self) -> None:
        """A run begins; modules may have been hooked since the last one."""
        self._is_plain = None
        self.forget()

    def end_branch(self, context: ContextKey) -> None:
        """A guidance branch of the run is over."""
        self._arguments.forget()
        self._ahead.drop(context)

    def forget(self) -> None:
        """Hold nothing of a run."""
        self._arguments.forget()
        self._ahead.clear()

    def forward(
        self,
        forward: Forward,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        call: Call,
        rows: Sequence[StepRows],
        *,
        by_block: bool,
        ahead: bool,
    ) -> tuple[ReusedStep | Outside, list[torch.Tensor], Prepared | None] | Any:
        """The result of a call that is made by the transformer's own forward, or what to run in its place and on what.

        Args:
            forward: the transformer's own.
            args: of the call.
            kwargs: of the call.
            call: which one it is.
            rows: what is done at each step.
            by_block: whether blocks have to be called where not all are reused.
            ahead: whether things may be made for steps to come.
        """
        assert self._transformer is not None
        if self._forgotten != self._functions.forgotten:
            self._forgotten = self._functions.forgotten
            for known in (self._recorded, self._made, self._calls, self._outside, self._conditions):
                known.clear()
        if torch.is_grad_enabled() or not self._can_be_recorded(forward):
            return forward(*args, **kwargs)
        try:
            spec, tensors = self._arguments.flatten(args, kwargs, training=self._transformer.module.training)
        except OpaqueValueError:
            return forward(*args, **kwargs)
        if spec not in self._recorded:
            self._ahead.see(call, tensors)
            return self._record(spec, forward, args, kwargs)
        recorded, reused = self._recorded[spec], rows[call.step].reused
        as_one = reused is not None and self._is_worth_it(spec, reused)
        if recorded is None or (by_block and not as_one):
            return forward(*args, **kwargs)
        prepared = None
        if ahead and call.step:
            conditions = self._conditions_of(spec, recorded)

            def wanted(step: int) -> list[tuple[LayerRows, ...]] | None:
                if step >= len(rows) or rows[step].output.sources or (by_block and rows[step].reused is None):
                    return None
                assert conditions is not None
                return [
                    program.step(row.actions, given=frozenset(given), fuses=False).rows
                    for program, row, given in zip(
                        conditions.programs, rows[step].blocks, conditions.arguments, strict=True
                    )
                ]

            prepared = self._ahead.of(call, tensors, conditions, self._blocks, wanted)
        else:
            self._ahead.see(call, tensors)
        given = prepared is not None
        found: ReusedStep | Outside | None = None
        if as_one and reused is not None:
            found = self._function(spec, recorded, reused, given=given)
        if found is None and not by_block:
            found = self._without_blocks(spec, recorded, given=given)
        return forward(*args, **kwargs) if found is None else (found, tensors, prepared)

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
                    for module in (*self._other_modules, *blocks)
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

    def _is_worth_it(self, spec: Signature, rows: Rows) -> bool:
        """Whether what all blocks do in a call is made a function of, once there were enough such calls."""
        self._calls[spec, rows] += 1
        return self._calls[spec, rows] > _CALLS_BEFORE

    def _function(self, spec: Signature, recorded: _Recorded, rows: Rows, *, given: bool) -> ReusedStep | None:
        key = spec, rows, given
        if key not in self._made:
            if len(self._made) >= _MAX_FUNCTIONS:
                self._made.clear()
            self._made[key] = self._make(recorded, rows, self._conditions_of(spec, recorded) if given else None)
        return self._made[key]

    def _programs(self, recorded: _Recorded) -> list[Program] | None:
        """The programs of all blocks; None where any has none."""
        found = [
            self._functions.blocks[block.module].get(spec)
            for block, spec in zip(self._blocks, recorded.blocks, strict=True)
        ]
        programs = [program for program in found if isinstance(program, Program)]
        return programs if len(programs) == len(found) else None

    def _conditions_of(self, spec: Signature, recorded: _Recorded) -> Conditions | None:
        if spec not in self._conditions:
            programs = self._programs(recorded)
            if programs is None:
                return None
            self._conditions[spec] = self._make_conditions(recorded, programs)
        return self._conditions[spec]

    def _make_conditions(self, recorded: _Recorded, programs: Sequence[Program]) -> Conditions | None:
        slots = recorded.recording.slots
        calls = {slot.call for slot in slots.values()}
        numbers: dict[fx.Node, int] = {}
        arguments = []
        for index, program in enumerate(programs):
            given = list(_nodes((slots[index, 0].call.args, slots[index, 0].call.kwargs)))
            known = {number: given[number] for number in program.conditions if calls.isdisjoint(_before(given[number]))}
            arguments.append({number: numbers.setdefault(node, len(numbers)) for number, node in known.items()})
        if not numbers:
            return None
        graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
        graph.graph_copy(recorded.recording.graph, copied)
        for node in graph.nodes:
            node.meta["counted"] = False
        graph.output(tuple(copied[node] for node in numbers))
        drop_unread(graph)
        inputs = tuple([number for number, node in enumerate(_inputs(graph)) if node.users])
        assert self._transformer is not None
        modules = _by_short_names(graph, self._transformer.module)
        return Conditions(function_of(graph), modules, inputs, tuple(numbers), tuple(programs), tuple(arguments))

    def _outside_of(self, recorded: _Recorded, conditions: Conditions | None) -> tuple[fx.Graph, _Copied]:
        """What the transformer does, and what became of the nodes of its recording; conditions are arguments of it."""
        graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
        graph.output(graph.graph_copy(recorded.recording.graph, copied))
        for node in () if conditions is None else conditions.nodes:
            for part in _before(copied[node]):
                part.meta["counted"] = False
            copied[node].replace_all_uses_with(argument(graph, "condition", copied[node]))
        return graph, copied

    def _without_blocks(self, spec: Signature, recorded: _Recorded, *, given: bool) -> Outside | None:
        if (spec, given) not in self._outside:
            conditions = self._conditions_of(spec, recorded) if given else None
            self._outside[spec, given] = self._make_outside(recorded, conditions)
        return self._outside[spec, given]

    def _make_outside(self, recorded: _Recorded, conditions: Conditions | None) -> Outside | None:
        programs = self._programs(recorded)
        if programs is None:
            return None
        graph, copied = self._outside_of(recorded, conditions)
        for index in range(len(programs)):
            slot = recorded.recording.slots[index, 0]
            call = copied[slot.call]
            with graph.inserting_before(call):
                # Its tensors alone: constants among the arguments are in the recording of the block.
                run = graph.call_module(f"{_RUN}{index}", tuple(_nodes((call.args, call.kwargs))))
                for number, tensor in enumerate(slot.tensors):
                    copied[tensor].replace_all_uses_with(graph.call_function(operator.getitem, (run, number)))
            call.meta["counted"] = False
        drop_unread(graph)
        assert self._transformer is not None
        modules = _by_short_names(graph, self._transformer.module)
        for index, program in enumerate(programs):
            arguments = frozenset() if conditions is None else frozenset(conditions.arguments[index])
            setattr(modules, f"{_RUN}{index}", partial(self._run_block, index, self._blocks[index], program, arguments))
        return Outside(function_of(graph), modules, recorded.recording.result)

    def _make(self, recorded: _Recorded, rows: Rows, conditions: Conditions | None) -> ReusedStep | None:
        programs = self._programs(recorded)
        if programs is None:
            return None
        arguments = [frozenset[int]()] * len(programs)
        if conditions is not None:
            arguments = [frozenset(each) for each in conditions.arguments]
        steps = [
            program.step(row, given=given, fuses=False)
            for program, row, given in zip(programs, rows, arguments, strict=True)
        ]
        graph, copied = self._outside_of(recorded, conditions)
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
        drop_unread(graph)
        _share_activations(graph, self._blocks)
        fuse_adds(graph, cached, within=inside)  # and nothing that is computed in other steps too
        drop_unread(graph)
        assert self._transformer is not None
        modules = _by_short_names(graph, self._transformer.module)
        return ReusedStep(function_of(graph), modules, tuple(steps), recorded.recording.result)


def _inputs(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.op == "placeholder"]


def _before(node: fx.Node) -> set[fx.Node]:
    """A node and all that it depends on."""
    found, todo = {node}, [node]
    while todo:
        for other in todo.pop().all_input_nodes:
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


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
        if node.op in ("call_module", "get_attr") and not str(node.target).startswith(_RUN):
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
