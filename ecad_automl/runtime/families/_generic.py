"""A family for a transformer class that has no adapter, made from the names and classes of its modules."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from torch import nn

from ecad_automl.errors import NoAdapterWarning, UnsupportedModelError
from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

_ATTENTION = re.compile(r"(self_|cross_|joint_)?(attn|attention)")
_FEED_FORWARD = re.compile(r"(ffn?|feed_forward|mlp)(_|\d|$)")

# What else begins like one: the norms, gates and projections beside it.
_BESIDE = re.compile(r"norm|gate|proj|mod|drop|scale|act")

# A recording would keep what the Python code of a block decides, such as by a counter of its own, as it was once.
_WHOLE = "its class has no adapter"

_MADE: WeakKeyDictionary[nn.Module, Family] = WeakKeyDictionary()


def generic_family(transformer: nn.Module) -> Family | None:
    """The family of a transformer of which nothing is known but its modules; None where no blocks were found.

    Blocks are the items of each list in which items have an attention as a direct child; components are the children
    that look like attentions and feed-forwards, in the order in which they were made, which need not be that of calls.
    All outputs count as always read, since their readers are not known, and blocks are always run whole, never from a
    recording. A warning tells what was found, once for each transformer.

    Raises:
        UnsupportedModelError: the transformer is a UNet, or of a pipeline that makes several runs in one call.
    """
    name = type(transformer).__name__
    if name.startswith("AnyFlowFAR"):
        raise UnsupportedModelError(
            f"{name} cannot be run under a schedule: one call of its pipeline denoises several chunks of a video, each "
            "in steps of its own and with keys and values of the chunks before, and a schedule is of one run."
        )
    if "UNet" in name:
        raise UnsupportedModelError(
            f"{name} cannot be run under a schedule: it is a UNet, whose blocks are nested in levels of their own "
            "resolution; schedules are for transformers, with their blocks in a row."
        )
    if transformer not in _MADE:
        groups = tuple(_groups(transformer))
        if not groups:
            return None
        _MADE[transformer] = Family(name, groups, pipelines=(), whole=_WHOLE)
        _warn(name, groups)
    return _MADE[transformer]


def _warn(name: str, groups: tuple[BlockGroup, ...]) -> None:
    found = "; ".join(f"{group.path} with {', '.join(part.name for part in group.components)}" for group in groups)
    warnings.warn(
        f"The transformer class {name} has no adapter. Its slots were found by the names and classes of its modules: "
        f"{found}. Its blocks are run whole, with only these left out. Compare results with an uncached run, and look "
        "at images, before you rely on them.",
        NoAdapterWarning,
        stacklevel=2,
    )


def _groups(transformer: nn.Module) -> Iterator[BlockGroup]:
    """The lists of blocks, in the order in which they were made."""
    inside: list[str] = []
    for path, module in transformer.named_modules():
        if any(path.startswith(outer) for outer in inside):
            continue
        if path and _is_attention(path.rpartition(".")[2], module):
            inside.append(f"{path}.")
        elif isinstance(module, nn.ModuleList):
            components = _components(module)
            if components:
                inside.append(f"{path}.")
                yield BlockGroup(path, components, chain=False)  # how blocks are joined is not known


def _components(blocks: nn.ModuleList) -> tuple[Component, ...]:
    """Children of any of the blocks that look like attentions or feed-forwards; none without an attention."""
    attentions: dict[str, bool] = {}
    for block in blocks:
        for name, child in block.named_children():
            if _is_attention(name, child):
                attentions[name] = True
            elif _is_feed_forward(name, child):
                attentions.setdefault(name, False)
    return tuple(map(Component, attentions)) if any(attentions.values()) else ()


def _is_attention(name: str, module: nn.Module) -> bool:
    from diffusers.models.attention import AttentionModuleMixin
    from diffusers.models.attention_processor import Attention

    return isinstance(module, Attention | AttentionModuleMixin) or (
        _ATTENTION.match(name) is not None and _is_component(name, module)
    )


def _is_feed_forward(name: str, module: nn.Module) -> bool:
    return type(module).__name__.endswith("FeedForward") or (
        _FEED_FORWARD.match(name) is not None and _is_component(name, module)
    )


def _is_component(name: str, module: nn.Module) -> bool:
    """Whether a module named like a component can be one: a single layer is a part of one at most."""
    container = isinstance(module, nn.ModuleList | nn.ModuleDict)
    return not container and any(True for _ in module.children()) and _BESIDE.search(name) is None
