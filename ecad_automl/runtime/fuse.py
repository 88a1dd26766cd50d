"""Joining cached outputs to the residual stream in as few passes over memory as eager PyTorch allows."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

_ADDS = ("add", "__add__", "__radd__", operator.add, torch.add)
_PRODUCTS = ("mul", "__mul__", "__rmul__", operator.mul, torch.mul)
_FRESH = (*_ADDS, torch.addcmul, "addcmul_", "add_")


def fuse_cached_adds(graph: fx.Graph, cached: frozenset[fx.Node], owned: frozenset[fx.Node] = frozenset()) -> None:
    """Rewrite the adds of cached outputs in a graph, in place.

    ``x + gate * cached`` becomes one ``addcmul``, and works in the memory of ``x`` where ``x`` is a result that
    nothing else reads, as does ``x + cached``. A joined stream that is only added to and then split is added to in
    parts. Products and sums are rounded once instead of twice, so results may differ in the last bit.

    Args:
        graph: nodes have their dtype and shape in ``meta``.
        cached: nodes that are cached outputs.
        owned: arguments whose memory may be written to.
    """
    for node in list(graph.nodes):
        parts = _operands(node, _ADDS)
        if parts is None:
            continue
        for stream, other in (parts, parts[::-1]):
            fused = _fused(graph, node, stream, other, cached, owned)
            if fused is not None:
                fused.meta = dict(node.meta)
                node.replace_all_uses_with(fused)
                graph.erase_node(node)
                if other not in cached:
                    graph.erase_node(other)
                _split_before(graph, fused)
                break


def _fused(
    graph: fx.Graph,
    node: fx.Node,
    stream: fx.Node,
    other: fx.Node,
    cached: frozenset[fx.Node],
    owned: frozenset[fx.Node],
) -> fx.Node | None:
    """``stream + other`` in one pass, or None where that cannot be."""
    if not _alike(stream, node):
        return None
    own = (stream in owned or is_fresh(stream)) and len(stream.users) == 1
    with graph.inserting_before(node):
        if other in cached:
            return graph.call_method("add_", (stream, other)) if own and _alike(other, node) else None
        factors = _operands(other, _PRODUCTS)
        if factors is None or len(other.users) > 1 or not cached.intersection(factors):
            return None
        if any(factor.meta["dtype"] != node.meta["dtype"] for factor in factors) or not _alike(other, node):
            return None
        if own:
            return graph.call_method("addcmul_", (stream, *factors))
        return graph.call_function(torch.addcmul, (_dense(graph, stream), *factors))


def _dense(graph: fx.Graph, stream: fx.Node) -> fx.Node:
    """The stream in the order in which cached outputs lie in memory.

    ``addcmul`` gives its result the order of the stream. Where that is a transposed one, as after a patch embedding,
    all blocks to come would be several times slower.
    """
    return graph.call_method("contiguous", (stream,)) if stream.op == "placeholder" else stream


def is_fresh(node: fx.Node) -> bool:
    """Whether a node's result has memory of its own, which nothing else can see."""
    return node.op in ("call_function", "call_method") and node.target in _FRESH


def _split_before(graph: fx.Graph, total: fx.Node) -> None:
    """Where ``addcmul(cat([a, b], 1), gate, cached)`` is only split into the parts again, add to the parts."""
    if total.target is not torch.addcmul:
        return
    joined, *factors = total.args
    if not (isinstance(joined, fx.Node) and joined.target is torch.cat and len(joined.users) == 1):
        return
    if not ((len(joined.args) == 2 and joined.args[1] == 1) or joined.kwargs == {"dim": 1}):
        return
    bounds: dict[tuple[int, int], Any] = {}
    at = 0
    for part in joined.args[0]:  # type: ignore[union-attr]
        size = part.meta["shape"][1]  # type: ignore[union-attr]
        bounds[at, at + size] = part
        at += size
    users = list(total.users)
    ranges = [_rows(user, at) for user in users]
    if any(rows not in bounds for rows in ranges):
        return
    for user, rows in zip(users, ranges, strict=True):
        assert rows is not None
        with graph.inserting_before(user):
            sliced = [_sliced(graph, factor, rows) for factor in factors]
            replacement = graph.call_function(torch.addcmul, (_dense(graph, bounds[rows]), *sliced))
        replacement.meta = dict(user.meta)
        user.replace_all_uses_with(replacement)
        graph.erase_node(user)
    graph.erase_node(total)
    graph.erase_node(joined)


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
