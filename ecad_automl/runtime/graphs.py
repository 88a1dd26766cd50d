"""Small things that are done to recorded graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import fx


def function_of(graph: fx.Graph) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The function that runs a graph, with the module that it is of as its first argument."""
    code = graph.python_code("self")
    names = dict(code.globals)
    # The source is what torch.fx writes for a graph of ours; nothing of it comes from outside.
    exec(compile(code.src, "<block under a schedule>", "exec"), names)  # noqa: S102
    function: Callable[..., tuple[torch.Tensor, ...]] = names["forward"]
    return function


def argument(graph: fx.Graph, name: str, like: fx.Node | None = None) -> fx.Node:
    """A new last argument of the function."""
    arguments = [other for other in graph.nodes if other.op == "placeholder"]
    with graph.inserting_after(arguments[-1]):
        argument = graph.placeholder(f"{name}_{len(arguments)}")
    argument.meta = {} if like is None else dict(like.meta)
    return argument


def drop_unread(graph: fx.Graph) -> None:
    """Remove what neither the output nor anything else reads: recordings have no other effects.

    Modules that are marked as counted stay, so that a run costs the MACs that were counted for it.
    """
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output") and not node.meta.get("counted"):
            graph.erase_node(node)
