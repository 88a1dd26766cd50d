"""Gates, shifts and additions of a block in as few passes over memory as eager PyTorch allows."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import fx

#: A cached output, and the number that it counts by; None for 1.
Term = tuple[fx.Node, fx.Node | None]

_ADDS = ("add", "__add__", "__radd__", operator.add, torch.add)
_PRODUCTS = ("mul", "__mul__", "__rmul__", operator.mul, torch.mul)
_FRESH = (*_ADDS, torch.addcmul, "addcmul_", "add_")


def fuse_adds(
    graph: fx.Graph,
    cached: Mapping[fx.Node, tuple[Term, ...]],
    owned: frozenset[fx.Node] = frozenset(),
    within: Collection[fx.Node] | None = None,
) -> None:
    """Rewrite the adds of products, and of cached outputs, in a graph, in place.

    ``x + gate * output`` becomes one ``addcmul``, and works in the memory of ``x`` where ``x`` is a result that
    nothing else reads, as does ``x + cached``; for a forecast it becomes one for each of the two outputs. So does
    ``x * scale + shift``. A joined stream that is only added to and then split is added to in parts. Products and sums
    are rounded once instead of twice, so results may differ in the last bit.

    Args:
        graph: nodes have their dtype and shape in ``meta``. What nothing reads any more stays in it.
        cached: nodes that are cached outputs, or forecasts, and what each is the sum of.
        owned: arguments whose memory may be written to.
        within: the nodes that may be rewritten; all if None.
    """
    for node in list(graph.nodes):
        parts = _operands(node, _ADDS) if within is None or node in within else None
        if parts is None:
            continue
        for stream, other in (parts, parts[::-1]):
            joined = _joined(node, stream, other, cached)
            own = _is_own(stream, owned)
            if joined is None:
                continue
            if other in cached and not own and len(joined[1]) == 1:
                continue  # without a factor, eager PyTorch's own addition is as good
            if not _add_to_parts(graph, node, stream, *joined, owned):
                with graph.inserting_before(node):
                    node.replace_all_uses_with(_added(graph, stream, *joined, node.meta, own=own))
                graph.erase_node(node)
            if other not in cached:
                graph.erase_node(other)
            break


def _joined(
    node: fx.Node, stream: fx.Node, other: fx.Node, cached: Mapping[fx.Node, tuple[Term, ...]]
) -> tuple[fx.Node | None, tuple[Term, ...]] | None:
    """What is added to the stream: a factor if any, and the terms that it counts for; None where it is nothing such.

    The stream may be a shift, which is the same for all rows.
    """
    if stream.meta["dtype"] != node.meta["dtype"] or not _alike(other, node):
        return None
    if other in cached:
        return (None, _terms(other, cached)) if _alike(stream, node) else None
    factors = _operands(other, _PRODUCTS)
    if factors is None or len(other.users) > 1 or any(part.meta["dtype"] != node.meta["dtype"] for part in factors):
        return None
    for output, gate in (factors, factors[::-1]):
        if output in cached:
            return (gate, _terms(output, cached)) if _alike(stream, node) else None
    if not node.meta["dtype"].is_floating_point:
        return None
    output, gate = factors if _alike(factors[0], node) else factors[::-1]
    return (gate, ((output, None),)) if _alike(output, node) else None


def _terms(output: fx.Node, cached: Mapping[fx.Node, tuple[Term, ...]]) -> tuple[Term, ...]:
    """A forecast that others read as well is made once."""
    return cached[output] if len(output.users) == 1 else ((output, None),)


def _added(
    graph: fx.Graph,
    stream: fx.Node,
    gate: fx.Node | None,
    terms: tuple[Term, ...],
    meta: dict[str, Any],
    *,
    own: bool = False,
) -> fx.Node:
    """``stream + gate * (sum of terms)``, one pass over memory for each term; in the stream's own memory if ``own``."""
    name, weight = ("add", "alpha") if gate is None else ("addcmul", "value")
    for output, scale in terms:
        factors = (output,) if gate is None else (gate, output)
        scaled: dict[str, Any] = {} if scale is None else {weight: scale}
        if own:
            stream = graph.call_method(f"{name}_", (stream, *factors), scaled)
        else:
            first = stream if gate is None else _dense(graph, stream)
            stream = graph.call_function(getattr(torch, name), (first, *factors), scaled)
        stream.meta = {**meta, "dense": True}
        own = True
    return stream


def _is_own(stream: fx.Node, owned: frozenset[fx.Node]) -> bool:
    """Whether nothing else sees the memory of a stream, so that it may be written to."""
    return (stream in owned or is_fresh(stream)) and len(stream.users) == 1 and stream.meta.get("dense", True)


def _dense(graph: fx.Graph, stream: fx.Node) -> fx.Node:
    """The stream in the order in which cached outputs lie in memory.

    ``addcmul`` gives its result the order of the stream. Where that is a transposed one, as after a patch embedding,
    all blocks to come would be several times slower.
    """
    is_known = stream.op != "placeholder" and stream.meta.get("dense", True)
    return stream if is_known else graph.call_method("contiguous", (stream,))


def is_fresh(node: fx.Node) -> bool:
    """Whether a node's result has memory of its own, which nothing else can see."""
    return node.op in ("call_function", "call_method") and node.target in _FRESH


def _add_to_parts(
    graph: fx.Graph,
    total: fx.Node,
    joined: fx.Node,
    gate: fx.Node | None,
    terms: tuple[Term, ...],
    owned: frozenset[fx.Node],
) -> bool:
    """Where ``cat([a, b], 1) + gate * output`` is only split into the parts again, add to the parts."""
    if gate is None or joined.target is not torch.cat or len(joined.users) > 1:
        return False
    if not ((len(joined.args) == 2 and joined.args[1] == 1) or joined.kwargs == {"dim": 1}):
        return False
    bounds: dict[tuple[int, int], Any] = {}
    at = 0
    for part in joined.args[0]:  # type: ignore[union-attr]
        size = part.meta["shape"][1]  # type: ignore[union-attr]
        bounds[at, at + size] = part
        at += size
    users = list(total.users)
    ranges = [_rows(user, at) for user in users]
    if any(rows not in bounds for rows in ranges):
        return False
    for user, rows in zip(users, ranges, strict=True):
        assert rows is not None
        with graph.inserting_before(user):
            sliced = tuple([(_sliced(graph, output, rows), scale) for output, scale in terms])
            own = _is_own(bounds[rows], owned) and ranges.count(rows) == 1
            given = bounds[rows], _sliced(graph, gate, rows), sliced, user.meta
            user.replace_all_uses_with(_added(graph, *given, own=own))
        graph.erase_node(user)
    graph.erase_node(total)
    graph.erase_node(joined)
    return True


def _rows(node: fx.Node, total: int) -> tuple[int, int] | None:
    """First and last row of ``x[:, first:last]`` and ``x[:, first:last, ...]``; None for anything else."""
    if node.target is not operator.getitem or not isinstance(node.args[1], tuple):
        return None
    whole = slice(None, None, None)
    index = [part for part in node.args[1] if part is not Ellipsis]
    if len(index) < 2 or any(part != whole for place, part in enumerate(index) if place != 1):
        return None
    rows = index[1]
    if not isinstance(rows, slice) or any(isinstance(end, fx.Node) for end in (rows.start, rows.stop, rows.step)):
        return None
    start, stop, step = rows.indices(total)
    return (start, stop) if step == 1 else None


def _sliced(graph: fx.Graph, factor: Any, rows: tuple[int, int]) -> fx.Node:
    shape = factor.meta["shape"]
    if len(shape) < 2 or shape[1] == 1:  # the same for all rows
        node: fx.Node = factor
        return node
    return graph.call_method("narrow", (factor, 1, rows[0], rows[1] - rows[0]))


def _operands(node: fx.Node, operations: tuple[Any, ...]) -> tuple[fx.Node, fx.Node] | None:
    """The two tensors of an operation without further arguments; None where the node is anything else."""
    if node.op not in ("call_function", "call_method") or node.target not in operations or node.kwargs:
        return None
    if len(node.args) != 2 or not all(isinstance(part, fx.Node) and "dtype" in part.meta for part in node.args):
        return None
    first, second = node.args
    assert isinstance(first, fx.Node)
    assert isinstance(second, fx.Node)
    return first, second


def _alike(one: fx.Node, other: fx.Node) -> bool:
    return bool(one.meta["dtype"] == other.meta["dtype"] and one.meta["shape"] == other.meta["shape"])
