"""Modulations: linear layers beside the slots of which only the rows are computed that something reads.

An adaptive norm makes shift, scale and gate of all slots of a block by one linear layer from the timestep. Where a slot
is reused nothing reads its shift and scale, and of the layer only the other rows are needed: a view of its weight.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from ecad_automl.patching import replaced
from ecad_automl.runtime.blocks import Block, Forward, SlotCall, blocks_of
from ecad_automl.runtime.cache import Output
from ecad_automl.runtime.graphs import argument
from ecad_automl.runtime.record import Recording, is_plain_linear, record
from ecad_automl.schedules.layout import Modulation

_CHUNK = ("chunks", "dim")

#: Dimensions of what has one row for each image.
_BY_IMAGE = 2


class _Piece(NamedTuple):
    """Rows ``low`` to ``high`` of a linear layer as a node has them, and what was done to all rows on the way."""

    node: fx.Node
    low: int
    high: int
    path: tuple[fx.Node, ...]


class LayerRows(NamedTuple):
    """Rows of a linear layer of a block, of one of its arguments that has gone through activations.

    Args:
        argument: its number.
        activations: their paths in the block, from the first to the last.
        layer: path of the layer in the block.
        low: the first row.
        high: the row after the last one.
    """

    argument: int
    activations: tuple[str, ...]
    layer: str
    low: int
    high: int


def rows_from(graph: fx.Graph) -> frozenset[int]:
    """Numbers of the arguments, with one row for each image, that linear layers beside the slots are of alone."""
    sources = (_source(graph, node) for node in graph.nodes if node.meta.get("linear"))
    return frozenset([source[0] for source in sources if source is not None])


def give_read_rows(graph: fx.Graph, arguments: frozenset[int]) -> tuple[LayerRows, ...]:
    """Have a graph take the rows that are read of linear layers of some arguments; in place.

    What nothing reads any more stays in the graph.

    Returns:
        What its new last arguments are.
    """
    found = []
    for linear in [node for node in graph.nodes if node.meta.get("linear")]:
        source = _source(graph, linear)
        if source is None or source[0] not in arguments:
            continue
        for piece in _pieces(linear):
            if not piece.node.users:
                continue
            part = argument(graph, "rows")
            found.append(LayerRows(*source, str(linear.target), piece.low, piece.high))
            with graph.inserting_before(piece.node):
                for step in piece.path:
                    part = graph.create_node(step.op, step.target, (part, *step.args[1:]), dict(step.kwargs))
            part.meta = dict(piece.node.meta)
            piece.node.replace_all_uses_with(part)
    return tuple(found)


def _source(graph: fx.Graph, linear: fx.Node) -> tuple[int, tuple[str, ...]] | None:
    """The number of the argument that a layer is of, and the activations on the way; None where it is of more."""
    node, activations = linear.args[0], list[str]()
    while isinstance(node, fx.Node) and node.meta.get("activation") and len(node.args) == 1:
        activations.insert(0, str(node.target))
        node = node.args[0]
    inputs = [other for other in graph.nodes if other.op == "placeholder"]
    if not isinstance(node, fx.Node) or node not in inputs or len(node.meta.get("shape", ())) != _BY_IMAGE:
        return None
    return inputs.index(node), tuple(activations)


def compute_read_rows(graph: fx.Graph) -> None:
    """Of the linear layers in a graph that are no slots, compute only the rows that are read; in place.

    What nothing reads any more stays in the graph. Rows are summed up by another call, so last bits may differ.
    """
    for linear in [node for node in graph.nodes if node.meta.get("linear")]:
        pieces = list(_pieces(linear))
        ranges = _joined([(piece.low, piece.high) for piece in pieces if piece.node.users])
        if ranges == [(0, _width(linear))] or any(piece.node is linear for piece in pieces):
            continue
        parts = {bounds: _rows(graph, linear, *bounds) for bounds in ranges}
        for piece in pieces:
            if not piece.node.users:
                continue
            (low, high), part = next(each for each in parts.items() if each[0][0] <= piece.low < each[0][1])
            with graph.inserting_before(piece.node):
                if (low, high) != (piece.low, piece.high):
                    part = _like(graph.call_method("narrow", (part, -1, piece.low - low, piece.high - piece.low)), part)
                    part.meta["shape"] = torch.Size((*part.meta["shape"][:-1], piece.high - piece.low))
                for step in piece.path:
                    part = graph.create_node(step.op, step.target, (part, *step.args[1:]), dict(step.kwargs))
            part.meta = dict(piece.node.meta)
            piece.node.replace_all_uses_with(part)


def idle_modulations(
    transformer: nn.Module, calls: Sequence[tuple[tuple[Any, ...], Mapping[str, Any]]]
) -> tuple[Modulation, ...]:
    """What of the linear layers beside the slots is computed in no step in which some slots are all reused.

    Args:
        transformer: with blocks that have slots; it is run.
        calls: arguments and keyword arguments of each forward of a step, for one image.
    """
    blocks = [block for block in blocks_of(transformer) if block.whole is None and _has_linears(block)]
    found: Counter[tuple[int, ...]] = Counter()
    if blocks:
        stand_ins = [(block.module, _recorded(block, found)) for block in blocks]
        with torch.no_grad(), replaced("forward", *stand_ins):
            for args, kwargs in calls:
                transformer(*args, **kwargs)
    return tuple(Modulation(macs, readers) for readers, macs in sorted(found.items()))


def _has_linears(block: Block) -> bool:
    inside = {part for slot in block.modules for part in slot.modules()}
    return any(is_plain_linear(module) for module in block.module.modules() if module not in inside)


def _recorded(block: Block, found: Counter[tuple[int, ...]]) -> Forward:
    forward = block.module.forward

    def visit(_call: SlotCall, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
        output: Output = compute(*args, **kwargs)
        return output

    def run(*args: Any, **kwargs: Any) -> Any:
        result, recording = record(block, forward, args, kwargs, visit)
        if isinstance(recording, Recording):
            for places, macs in _idle(recording):
                found[tuple(block.first + place for place in places)] += macs
        return result

    return run


def _idle(recording: Recording) -> Iterator[tuple[tuple[int, ...], int]]:
    """The slots that alone read some rows, by their places in the block, and the MACs of these rows."""
    slots = {slot.call: place for (place, _), slot in recording.slots.items()}
    for linear in recording.graph.nodes:
        if not linear.meta.get("linear"):
            continue
        given = linear.args[0].meta["shape"]
        for piece in _pieces(linear):
            readers = _readers(piece.node, slots)
            if readers:
                yield tuple(sorted(readers)), math.prod(given) * (piece.high - piece.low)


def _readers(node: fx.Node, slots: Mapping[fx.Node, int]) -> set[int] | None:
    """The slots that read a node; None where the result of the block depends on it beside them."""
    found: set[int] = set()
    todo, seen = [node], {node}
    while todo:
        for user in todo.pop().users:
            if user.op == "output":
                return None
            if user in slots:
                found.add(slots[user])
            elif user not in seen:
                seen.add(user)
                todo.append(user)
    return found


def _width(linear: fx.Node) -> int:
    width: int = linear.meta["shape"][-1]
    return width


def _pieces(linear: fx.Node) -> Iterator[_Piece]:
    """The parts that a linear layer's output is taken apart into, each with its rows; itself if it is not."""
    todo = [_Piece(linear, 0, _width(linear), ())]
    while todo:
        piece = todo.pop()
        parts = [_parts(piece, user) for user in piece.node.users]
        if parts and None not in parts:
            todo += [part for each in parts if each is not None for part in each]
        else:
            yield piece


def _parts(piece: _Piece, user: fx.Node) -> list[_Piece] | None:
    """What a user makes of a piece if it takes it apart, or gives it further dimensions; None for anything else."""
    if _only_reshapes(user):
        return [_Piece(user, piece.low, piece.high, (*piece.path, user))]
    count = _chunks(user)
    if count is None or any(item.target is not operator.getitem for item in user.users):
        return None
    size = -(-(piece.high - piece.low) // count)
    lows = [(item, piece.low + size * int(item.args[1])) for item in user.users]  # type: ignore[arg-type]
    return [_Piece(item, low, min(low + size, piece.high), piece.path) for item, low in lows]


def _chunks(node: fx.Node) -> int | None:
    """Into how many parts a node takes the last dimension apart; None if it does not."""
    if node.target not in ("chunk", torch.chunk):
        return None
    given, *rest = node.args
    count, dim = (node.kwargs.get(name, rest[at] if at < len(rest) else None) for at, name in enumerate(_CHUNK))
    last = len(given.meta["shape"]) - 1  # type: ignore[union-attr]
    return count if isinstance(count, int) and isinstance(dim, int) and dim % (last + 1) == last else None


def _only_reshapes(node: fx.Node) -> bool:
    """Whether a node is its first argument with further dimensions of one, before the last."""
    if "shape" not in node.meta or not isinstance(node.args[0], fx.Node) or "shape" not in node.args[0].meta:
        return False
    if node.target == "unsqueeze":
        return bool(node.meta["shape"][-1] == node.args[0].meta["shape"][-1])
    if node.target is not operator.getitem or not isinstance(node.args[1], tuple):
        return False
    index = node.args[1]
    known = all(part is None or part is Ellipsis or part == slice(None) for part in index)
    return known and bool(node.meta["shape"][-1] == node.args[0].meta["shape"][-1])


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same rows by as few ranges as can be."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def _rows(graph: fx.Graph, linear: fx.Node, low: int, high: int) -> fx.Node:
    """Some rows of a linear layer."""
    with graph.inserting_before(linear):
        weight = graph.call_method("narrow", (graph.get_attr(f"{linear.target}.weight"), 0, low, high - low))
        bias = None
        if linear.meta["linear"] == "biased":
            bias = graph.call_method("narrow", (graph.get_attr(f"{linear.target}.bias"), 0, low, high - low))
        rows = _like(graph.call_function(nn.functional.linear, (linear.args[0], weight, bias)), linear)
    rows.meta["shape"] = torch.Size((*linear.meta["shape"][:-1], high - low))
    return rows


def _like(node: fx.Node, other: fx.Node) -> fx.Node:
    node.meta = {name: other.meta[name] for name in ("dtype", "shape")}
    return node
