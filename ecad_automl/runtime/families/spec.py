"""How a family of transformers is described: where its cacheable components are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ecad_automl.runtime.inputs import InputBuilder

__all__ = ["BlockGroup", "Component", "Family"]


@dataclass(frozen=True)
class Component:
    """A child module of a block whose raw output, before its gate and the residual add, can be cached.

    Args:
        name: attribute of the block.
        reader: the component of the block that alone reads the output; None where the residual stream does.
        calls: how often a forward of the block calls the module, as for image and text one after the other; one bit
            stands for all of them.
        text: modules in it that see nothing but the text, which is the same in every step.
    """

    name: str
    reader: str | None = None
    calls: int = 1
    text: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockGroup:
    """A list of equal blocks.

    Args:
        path: attribute of the transformer that holds the list; dots lead further down.
        components: the components of a block, in the order in which its forward calls them.
        chain: whether what a block gives is read by the next one alone, so that the next may work in its memory.
    """

    path: str
    components: tuple[Component, ...]
    chain: bool = True


@dataclass(frozen=True)
class Family:
    """A transformer class.

    Args:
        transformer: name of the class in diffusers.
        groups: the lists of blocks, in the order in which a forward runs them.
        pipelines: the pipelines that are known to work.
        inputs: makes the inputs of one forward from the config alone. Without it, the layout takes a call of the
            pipeline to see them.
        counted: of the pipelines, those whose inputs are what ``inputs`` makes.
        guided_branches: images in the transformer's batch for one image with guidance on: 2 where the unconditional
            branch is computed too, 1 where guidance is an input of the transformer. Only read beside ``inputs``.
        text: paths of modules outside of the components that see nothing but the text.
        joins_text: whether a transformer joins the text with something else anew in every step, so that nothing in
            its components sees the same tensor twice.
        why_not: why a pipeline cannot be run under a schedule, in a phrase; None where it can.
        refused_arguments: arguments of the transformer that a run must leave None, each with why.
        whole: why blocks have to be run whole, with only their slots stood in for, in a phrase; None where they may be
            recorded.
    """

    transformer: str
    groups: tuple[BlockGroup, ...]
    pipelines: tuple[str, ...]
    inputs: InputBuilder | None = None
    counted: tuple[str, ...] = ()
    guided_branches: int = 1
    text: tuple[str, ...] = ()
    joins_text: Callable[[Any], bool] = lambda _transformer: False
    why_not: Callable[[Any], str | None] = lambda _pipe: None
    refused_arguments: Mapping[str, str] = field(default_factory=dict)
    whole: str | None = None
