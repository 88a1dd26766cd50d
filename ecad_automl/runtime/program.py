"""Functions that run a block with some of its slots reused, and compute nothing that nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from ecad_automl.runtime.blocks import SlotCall
from ecad_automl.runtime.fuse import fuse_cached_adds
from ecad_automl.runtime.plan import Action
from ecad_automl.runtime.record import Recording
from ecad_automl.runtime.structure import Spec

__all__ = ["Compiler", "Functions", "Program", "Step"]

#: Makes a function faster, as ``torch.compile`` does.
Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Step:
    """A block with some of its slots reused.

    Args:
        function: called with the block, the tensors of its arguments, and the tensors of the cached outputs; returns
            the tensors of the result and of the outputs to store.
        reads: the calls of slots whose outputs it takes, in order.
        stores: the calls of slots whose outputs it gives, in order, each with the spec of the output and the number of
            its tensors.
        results: number of tensors of the block's result.
    """

    function: Callable[..., tuple[torch.Tensor, ...]]
    reads: tuple[SlotCall, ...]
    stores: tuple[tuple[SlotCall, Spec, int], ...]
    results: int


class Functions:
    """Programs and their functions, which equal blocks share.

    Args:
        fuse: whether cached outputs are added by fused operations, which round once where the block rounds twice.
        compiler: applied to each function.
    """

    def __init__(self, *, fuse: bool = True, compiler: Compiler | None = None) -> None:
        self._compiler = compiler
        #: Whether the graphs should be rewritten: a compiler fuses by itself.
        self.fuses = fuse and compiler is None
        self._made: dict[str, Callable[..., Any]] = {}
        self._programs: dict[tuple[Spec, str], Program] = {}

    def program(self, spec: Spec, recording: Recording) -> Program:
        """The program of a recorded block with arguments of that spec."""
        key = spec, recording.graph.python_code("self").src
        if key not in self._programs:
            self._programs[key] = Program(recording, self)
        return self._programs[key]

    def of(self, graph: fx.Graph) -> Callable[..., Any]:
        """The function that runs a graph, with the block as its first argument."""
        code = graph.python_code("self")
        if code.src not in self._made:
            names = dict(code.globals)
            # The source is what torch.fx writes for a graph of ours; nothing of it comes from outside.
            exec(compile(code.src, "<block under a schedule>", "exec"), names)  # noqa: S102
            function = names["forward"]
            self._made[code.src] = self._compiler(function) if self._compiler else function
        return self._made[code.src]


class Program:
    """A recorded block, for any choice of what is reused.

    Args:
        recording: of its forward.
        functions: where the functions are kept.
    """

    def __init__(self, recording: Recording, functions: Functions) -> None:
        self.result = recording.result
        self._recording, self._functions = recording, functions
        self._steps: dict[tuple[Action, ...], Step] = {}

    def step(self, row: tuple[Action, ...]) -> Step:
        """The block with the given action for each of its slots."""
        if row not in self._steps:
            self._steps[row] = self._specialise(row)
        return self._steps[row]

    def _specialise(self, row: tuple[Action, ...]) -> Step:
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
            fuse_cached_adds(graph, frozenset(cached))
        counted = tuple((call, slots[call].output, len(slots[call].tensors)) for call in stores)
        return Step(self._functions.of(graph), reads, counted, len(results))


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
