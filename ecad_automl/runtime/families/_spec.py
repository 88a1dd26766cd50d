"""How a family of transformers is described: where its cacheable components are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ecad_automl.errors import ScheduleError


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
        inner: attribute of an item of the list that is the block, where items only wrap one; empty where they are it.
    """

    path: str
    components: tuple[Component, ...]
    chain: bool = True
    inner: str = ""


@dataclass(frozen=True)
class Sample:
    """The size of what is generated.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        text_tokens: prompt tokens, padding included.
        branches: guidance branches, which is the transformer's batch for one image.
        vae_scale_factor: pixels per latent element, along each side.
    """

    height: int
    width: int
    text_tokens: int
    branches: int = 1
    vae_scale_factor: int = 8

    def to_dict(self) -> dict[str, int]:
        """What a layout records of it."""
        return {name: getattr(self, name) for name in ("height", "width", "text_tokens", "branches")}

    def latent_size(self, patch_size: int) -> tuple[int, int]:
        """Height and width of the latent image, which must be whole patches.

        Raises:
            ScheduleError: a size is not positive, or the image is not a whole number of patches.
        """
        if min(self.text_tokens, self.branches, self.vae_scale_factor) < 1:
            raise ScheduleError(f"MACs cannot be counted for {self}; all sizes must be at least 1.")
        unit = self.vae_scale_factor * patch_size
        if self.height < 1 or self.width < 1 or self.height % unit or self.width % unit:
            raise ScheduleError(
                f"An image of {self.height} x {self.width} pixels does not fit this model; height and width must be "
                f"positive multiples of {unit}."
            )
        return self.height // self.vae_scale_factor, self.width // self.vae_scale_factor


#: Makes the keyword arguments of one transformer forward from the transformer's config and a sample.
InputBuilder = Callable[[Mapping[str, Any], Sample], dict[str, Any]]


def empty(*shape: int) -> torch.Tensor:
    """A tensor of that shape and no data, as :data:`InputBuilder` gives."""
    return torch.empty(shape, device="meta")


@dataclass(frozen=True)
class OneBatch:
    """How pipelines put both guidance branches into one batch of the transformer, each image twice.

    Args:
        conditional_first: whether the branch with the prompt is the first half of the batch and not the second.
        shared: arguments of the transformer that are not by image, so that no half of them is taken.
        lists: whether images and texts come in lists, one of each, and not in one tensor.
        padded: where they come in lists: what the transformer pads the length of a text to a multiple of, and then all
            texts of a batch to that of the longest.
        second: arguments of the transformer whose second dimension is that of images, and not the first.
    """

    conditional_first: bool = False
    shared: tuple[str, ...] = ()
    lists: bool = False
    padded: int = 1
    second: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """A transformer class.

    Args:
        transformer: name of the class in diffusers.
        groups: the lists of blocks, in the order in which a forward runs them.
        pipelines: the pipelines that are known to work.
        inputs: makes the inputs of one forward, as its pipelines do, from the config alone. Without it, the layout
            takes a call of the pipeline to see them.
        counted: of the pipelines, those whose inputs are what ``inputs`` makes.
        guided_branches: images in the transformer's batch for one image with guidance on: 2 where the unconditional
            branch is computed too, 1 where guidance is an input of the transformer. Only read beside ``inputs``.
        one_batch: how its pipelines put both guidance branches into one batch; None where each has a call of its own.
        text: paths of modules outside of the components that see nothing but the text.
        positions: paths of modules that make embeddings of positions, each with the names of the arguments of the
            transformer that these come from; none where they depend on shapes alone.
        joins_text: whether a transformer joins the text with something else anew in every step, so that nothing in
            its components sees the same tensor twice; None where none does.
        refused_pipelines: names of pipelines that cannot be run under a schedule, nor can their subclasses, each with
            why.
        why_not: why another pipeline cannot be run so, in a phrase; None where it can.
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
    one_batch: OneBatch | None = None
    text: tuple[str, ...] = ()
    positions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joins_text: Callable[[Any], bool] | None = None
    refused_pipelines: Mapping[str, str] = field(default_factory=dict)
    why_not: Callable[[Any], str | None] | None = None
    refused_arguments: Mapping[str, str] = field(default_factory=dict)
    whole: str | None = None
