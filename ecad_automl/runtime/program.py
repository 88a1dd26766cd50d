"""Functions that run a block with some of its slots reused, and compute nothing that nobody reads."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ecad_automl.runtime.blocks import SlotCall
from ecad_automl.runtime.fuse import fuse_cached_adds, is_fresh
from ecad_automl.runtime.plan import Action
from ecad_automl.runtime.record import Recording
from ecad_automl.runtime.structure import Spec

# Kept at most: batches, sizes and lengths of texts each make programs of their own.
_MAX_PROGRAMS = 256

#: Makes a function faster, as ``torch.compile`` does.
Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Step:
    """A block with some of its slots reused.

    Args:
        graph: takes the tensors of the block's arguments, and those of the cached outputs; gives the tensors of the
            result, and those of the outputs to store.
        reads: the calls of slots whose outputs it takes, in order.
        stores: the calls of slots whose outputs it gives, in order, each with the number of its tensors.
        results: for each tensor of the block's result, whether it has memory of its own.
    """

    graph: fx.Graph
    reads: tuple[SlotCall, ...]
    stores: tuple[tuple[SlotCall, int], ...]
    results: tuple[bool, ...]


class Functions:
    """Programs and their functions, which equal blocks share.

    Args:
        fuse: whether cached outputs are added by fused operations, which round once where the block rounds twice.
        compiler: applied to each function.
        overwrites: whether its functions may give memory that their calls in the next transformer call overwrite, as
            replays of CUDA graphs do.
    """

    def __init__(self, *, fuse: bool = True, compiler: Compiler | None = None, overwrites: bool = False) -> None:
        #: Of each block, by its path: its programs by the spec of the arguments, or why it cannot be recorded.
        self.blocks: defaultdict[str, dict[Spec, Program | str]] = defaultdict(dict)
        self._parts: tuple[object, ...] = ()
        self._compiler = compiler
        self.compiles = compiler is not None
        self.overwrites = overwrites
        #: Whether the graphs should be rewritten: a compiler fuses by itself.
        self.fuses = fuse and compiler is None
        #: How often blocks were forgotten: until they are recorded again, they run as they are.
        self.forgotten = 0
        self._made: dict[tuple[Hashable, str], Callable[..., Any]] = {}
        self._programs: dict[tuple[Spec, str], Program] = {}

    def for_parts(self, parts: tuple[object, ...]) -> None:
        """Forget the blocks if the transformer has other parts than before."""
        if len(parts) != len(self._parts) or not all(map(operator.is_, parts, self._parts)):
            self.blocks.clear()
            self.forgotten += 1
            self._parts = parts

    def __len__(self) -> int:
        return len(self._made)

    def program(self, spec: Spec, recording: Recording) -> Program:
        """The program of a recorded block with arguments of that spec."""
        key = spec, recording.graph.python_code("self").src
        if key not in self._programs:
            if len(self._programs) >= _MAX_PROGRAMS:
                self.blocks.clear()
                self.forgotten += 1
                self._programs.clear()
                self._made.clear()
            self._programs[key] = Program(spec, recording, self)
        return self._programs[key]

    def of(self, step: Step, kind: Hashable = None) -> Callable[..., tuple[torch.Tensor, ...]]:
        """The function that runs a step, with the block as its first argument.

        Steps of different kinds do not share a function, even if it is the same: a compiler would compile one function
        anew for tensors of another kind, and after some times no more.
        """
        code = step.graph.python_code("self")
        key = kind, code.src
        if key not in self._made:
            names = dict(code.globals)
            # The source is what torch.fx writes for a graph of ours; nothing of it comes from outside.
            exec(compile(code.src, "<block under a schedule>", "exec"), names)  # noqa: S102
            function = names["forward"]
            self._made[key] = self._compiler(function) if self._compiler else function
        return self._made[key]


class Program:
    """A recorded block, for any choice of what is reused."""

    def __init__(self, spec: Spec, recording: Recording, functions: Functions) -> None:
        self.result = recording.result
        #: The spec of the output of each call of a slot.
        self.outputs = {call: slot.output for call, slot in recording.slots.items()}
        self._spec = spec
        self._recording, self._functions = recording, functions
        self._steps: dict[tuple[tuple[Action, ...], frozenset[int]], Step] = {}
        self._made: dict[tuple[int, Hashable], Callable[..., tuple[torch.Tensor, ...]]] = {}

    def step(self, row: tuple[Action, ...], owned: frozenset[int] = frozenset()) -> Step:
        """The block with an action for each slot; ``owned`` are numbers of arguments whose memory may be written to."""
        if (row, owned) not in self._steps:
            self._steps[row, owned] = self._specialise(row, owned if self._functions.fuses else frozenset())
        return self._steps[row, owned]

    def run(self, step: Step, block: nn.Module, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run a step of this program on a block, with such tensors as its graph takes."""
        kind = (self._spec, *(tensor.stride() for tensor in tensors)) if self._functions.compiles else None
        function = self._made.get((id(step), kind))
        if function is None:
            function = self._made[id(step), kind] = self._functions.of(step, kind)
        return function(block, *tensors)

    def _specialise(self, row: tuple[Action, ...], owned: frozenset[int]) -> Step:
        graph = fx.Graph()
        copied: dict[fx.Node, fx.Node] = {}
        results = graph.graph_copy(self._recording.graph, copied)
        assert isinstance(results, tuple)

        slots = self._recording.slots
        reads = tuple(call for call in sorted(slots) if row[call[0]] in (Action.REUSE, Action.REUSE_LAST))
        stores = tuple(call for call in sorted(slots) if row[call[0]] is Action.STORE)
        for call, slot in slots.items():
            # What the schedule computes is computed, and nothing else.
            copied[slot.call].meta["counted"] = row[call[0]] in (Action.COMPUTE, Action.STORE)
        cached = []
        for number, old in enumerate(node for call in reads for node in slots[call].tensors):
            cached.append(_read_instead(graph, copied[old], f"cached_{number}"))
        stored = [copied[node] for call in stores for node in slots[call].tensors]
        graph.output((*results, *stored))
        _drop_unread(graph)
        if self._functions.fuses:
            inputs = [node for node in graph.nodes if node.op == "placeholder"]
            fuse_cached_adds(graph, frozenset(cached), frozenset(inputs[number] for number in owned))
        counted = tuple((call, len(slots[call].tensors)) for call in stores)
        outputs: tuple[Any, ...] = tuple(graph.output_node().args[0])  # type: ignore[arg-type]
        fresh = tuple(is_fresh(node) and outputs.count(node) == 1 for node in outputs[: len(results)])
        return Step(graph, reads, counted, fresh)


def _read_instead(graph: fx.Graph, node: fx.Node, name: str) -> fx.Node:
    """Have a new argument of the function stand for a node."""
    last = [other for other in graph.nodes if other.op == "placeholder"][-1]
    with graph.inserting_after(last):
        argument = graph.placeholder(name)
    argument.meta = dict(node.meta)
    node.replace_all_uses_with(argument)
    return argument


def _drop_unread(graph: fx.Graph) -> None:
    """Remove what neither the output nor anything else reads: recordings have no other effects.

    Modules with matrix products stay, so that a run costs the MACs that were counted for it. Outside of slots they are
    small, as modulations made from the timestep.
    """
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output") and not node.meta.get("counted"):
            graph.erase_node(node)
