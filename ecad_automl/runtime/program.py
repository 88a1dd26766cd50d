"""Functions that run a block with some of its slots reused, and compute nothing that nobody reads."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from ecad_automl.runtime.blocks import SlotCall
from ecad_automl.runtime.fuse import Term, fuse_adds, is_fresh
from ecad_automl.runtime.graphs import argument, drop_unread, function_of
from ecad_automl.runtime.modulations import LayerRows, compute_read_rows, give_read_rows, rows_from
from ecad_automl.runtime.plan import Action
from ecad_automl.runtime.record import Recording
from ecad_automl.runtime.structure import Spec

# Kept at most: batches, sizes and lengths of texts each make programs of their own.
_MAX_PROGRAMS = 256

#: Makes a function faster, as ``torch.compile`` does.
Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


_USED = (Action.REUSE, Action.FORECAST)


@dataclass(frozen=True)
class Step:
    """A block with some of its slots' cached outputs used.

    Args:
        graph: takes the tensors of the block's arguments, those of the cached outputs, where there are forecasts
            their coefficients: two numbers each, or, for a compiler, one float32 tensor of shape
            ``(components, 2 or more)``, so that it need not compile anew for other numbers; and ``rows``. Gives the
            tensors of the result, and those of the outputs to store.
        reads: the calls of slots whose outputs it takes, in order; for a forecast the last output and the one before.
        forecasts: the places of the slots that are forecast, in order.
        stores: the calls of slots whose outputs it gives, in order, each with the number of its tensors.
        results: for each tensor of the block's result, whether it has memory of its own.
        cached: nodes that are cached outputs, or forecasts, and what each is the sum of; not of a fused graph.
        rows: what the graph takes of layers, which it then does not compute itself.
    """

    graph: fx.Graph
    reads: tuple[SlotCall, ...]
    forecasts: tuple[int, ...]
    stores: tuple[tuple[SlotCall, int], ...]
    results: tuple[bool, ...]
    cached: Mapping[fx.Node, tuple[Term, ...]]
    rows: tuple[LayerRows, ...] = ()


class Functions:
    """Programs and their functions, which equal blocks share.

    Args:
        fuse: whether products are added by fused operations, which round once where the block rounds twice.
        compiler: applied to each function.
        overwrites: whether its functions may give memory that their calls in the next transformer call overwrite, as
            replays of CUDA graphs do.
    """

    def __init__(self, *, fuse: bool = True, compiler: Compiler | None = None, overwrites: bool = False) -> None:
        #: Of each block: its programs by the spec of the arguments, or why it cannot be recorded.
        self.blocks: defaultdict[nn.Module, dict[Spec, Program | str]] = defaultdict(dict)
        self._parts: tuple[object, ...] = ()
        self._compiler = compiler
        self.compiles = compiler is not None
        self.overwrites = overwrites
        #: Whether the graphs should be rewritten: a compiler fuses by itself.
        self.fuses = fuse and compiler is None
        #: Whether rows of modulations that nothing reads are left out.
        self.trims = fuse
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
        linears = [str(node.target) for node in recording.graph.nodes if "linear" in node.meta]
        key = spec, "\n".join((recording.graph.python_code("self").src, *linears))
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
        key = kind, step.graph.python_code("self").src
        if key not in self._made:
            function = function_of(step.graph)
            self._made[key] = self._compiler(function) if self._compiler else function
        return self._made[key]


_Key = tuple[tuple[Action, ...], frozenset[int], frozenset[SlotCall], frozenset[int], bool]


class Program:
    """A recorded block, for any choice of what is reused."""

    def __init__(self, spec: Spec, recording: Recording, functions: Functions) -> None:
        self.result = recording.result
        #: The spec of the output of each call of a slot.
        self.outputs = {call: slot.output for call, slot in recording.slots.items()}
        #: The activations, by the call of the slot whose output they alone read: their nodes in the recording.
        self.activations = dict(_activations(recording))
        #: Numbers of the arguments that linear layers beside the slots are of alone.
        self.conditions = rows_from(recording.graph)
        self._spec = spec
        self._recording, self._functions = recording, functions
        self._steps: dict[_Key, Step] = {}
        self._made: dict[tuple[int, Hashable], Callable[..., tuple[torch.Tensor, ...]]] = {}

    def step(
        self,
        row: tuple[Action, ...],
        owned: frozenset[int] = frozenset(),
        activated: frozenset[SlotCall] = frozenset(),
        given: frozenset[int] = frozenset(),
        *,
        fuses: bool = True,
    ) -> Step:
        """The block with an action for each slot.

        Args:
            row: the actions.
            owned: numbers of arguments whose memory may be written to.
            activated: calls of slots whose outputs are kept after their activation: as it is the same each time.
            given: numbers of the arguments of which the rows of linear layers that are read are given.
            fuses: whether operations may be fused.
        """
        fuses = fuses and self._functions.fuses
        key = row, owned if fuses else frozenset(), activated, given, fuses
        if key not in self._steps:
            self._steps[key] = self._specialise(*key)
        return self._steps[key]

    def run(self, step: Step, block: nn.Module, arguments: Sequence[Any]) -> tuple[torch.Tensor, ...]:
        """Run a step of this program on a block, with such arguments as its graph takes."""
        kind = None
        if self._functions.compiles:
            # A tensor that is given twice makes another graph, too.
            kind = (self._spec, len({id(tensor) for tensor in arguments}), *(tensor.stride() for tensor in arguments))
        function = self._made.get((id(step), kind))
        if function is None:
            function = self._made[id(step), kind] = self._functions.of(step, kind)
        return function(block, *arguments)

    def _specialise(
        self,
        row: tuple[Action, ...],
        owned: frozenset[int],
        activated: frozenset[SlotCall],
        given: frozenset[int],
        fuses: bool,
    ) -> Step:
        graph = fx.Graph()
        copied: dict[fx.Node, fx.Node] = {}
        results = graph.graph_copy(self._recording.graph, copied)
        assert isinstance(results, tuple)

        slots = self._recording.slots
        reads = tuple(call for call in sorted(slots) if row[call[0]] in _USED)
        forecasts = tuple(place for place, action in enumerate(row) if action is Action.FORECAST)
        stores = tuple(call for call in sorted(slots) if row[call[0]] is Action.STORE)
        for call, slot in slots.items():
            # What the schedule computes is computed, and nothing else.
            copied[slot.call].meta["counted"] = row[call[0]] in (Action.COMPUTE, Action.STORE)
        if self._functions.trims:
            for node in graph.nodes:
                if "linear" in node.meta:
                    node.meta["counted"] = False
        kept = {
            call: [copied[node] for node in ((self.activations[call],) if call in activated else slots[call].tensors)]
            for call in (*reads, *stores)
        }
        cached = self._take_cached(graph, kept, reads, forecasts)
        stored = [node for call in stores for node in kept[call]]
        graph.output((*results, *stored))
        drop_unread(graph)
        rows = give_read_rows(graph, given) if given else ()
        if self._functions.trims:
            compute_read_rows(graph)
            drop_unread(graph)
        if fuses:
            inputs = [node for node in graph.nodes if node.op == "placeholder"]
            fuse_adds(graph, cached, frozenset(inputs[number] for number in owned))
            drop_unread(graph)
        counted = tuple((call, len(slots[call].tensors)) for call in stores)
        outputs: tuple[Any, ...] = tuple(graph.output_node().args[0])  # type: ignore[arg-type]
        fresh = tuple(is_fresh(node) and outputs.count(node) == 1 for node in outputs[: len(results)])
        return Step(graph, reads, forecasts, counted, fresh, {} if fuses else cached, rows)

    def _take_cached(
        self,
        graph: fx.Graph,
        kept: Mapping[SlotCall, list[fx.Node]],
        reads: tuple[SlotCall, ...],
        forecasts: tuple[int, ...],
    ) -> dict[fx.Node, tuple[Term, ...]]:
        """Have cached outputs stand for those of slots: each node of such, and what it is the sum of."""
        taken: list[tuple[int, fx.Node, fx.Node, fx.Node | None]] = []
        for call in reads:
            nodes = kept[call]
            last = [argument(graph, "cached", node) for node in nodes]
            before: Sequence[fx.Node | None] = [None] * len(nodes)
            if call[0] in forecasts:
                before = [argument(graph, "before", node) for node in nodes]
            taken += zip([call[0]] * len(nodes), nodes, last, before, strict=True)
        compiles = self._functions.compiles
        scales: dict[int, tuple[fx.Node, fx.Node]] = {}
        if compiles and forecasts:
            table = argument(graph, "coefficients")
            with graph.inserting_after(table):
                for place in forecasts:
                    first, second = (graph.call_function(operator.getitem, (table, (place, index))) for index in (0, 1))
                    scales[place] = first, second
        else:
            scales = {place: (argument(graph, "scale"), argument(graph, "scale")) for place in forecasts}
        cached: dict[fx.Node, tuple[Term, ...]] = {}
        for place, node, last_node, before_node in taken:
            terms: tuple[Term, ...] = ((last_node, None),)
            instead = last_node
            if before_node is not None and node.meta["dtype"].is_floating_point:
                first, second = scales[place]
                terms = (last_node, first), (before_node, second)
                with graph.inserting_before(node):
                    instead = (_forecast_in_float32 if compiles else _forecast)(graph, terms)
                instead.meta = dict(last_node.meta)
            cached[instead] = terms
            node.replace_all_uses_with(instead)
        return cached


def _activations(recording: Recording) -> Iterator[tuple[SlotCall, fx.Node]]:
    for call, slot in recording.slots.items():
        users = list(slot.tensors[0].users)
        if len(slot.tensors) == len(users) == 1 and users[0].meta.get("activation"):
            yield call, users[0]


def _forecast(graph: fx.Graph, terms: tuple[Term, ...]) -> fx.Node:
    """The same as :func:`ecad_automl.runtime.cache.forecast`."""
    (last, first), (before, second) = terms
    return graph.call_method("add_", (graph.call_function(torch.mul, (last, first)), before), {"alpha": second})


def _forecast_in_float32(graph: fx.Graph, terms: tuple[Term, ...]) -> fx.Node:
    """The same for a compiler: it makes one pass of it, without rounding the coefficients to a narrower type."""
    dtype = terms[0][0].meta["dtype"]
    narrow = dtype.itemsize < torch.float32.itemsize
    parts = [
        graph.call_function(operator.mul, (graph.call_method("float", (tensor,)) if narrow else tensor, scale))
        for tensor, scale in terms
    ]
    total = graph.call_function(operator.add, tuple(parts))
    return graph.call_method("to", (total, dtype)) if narrow else total
