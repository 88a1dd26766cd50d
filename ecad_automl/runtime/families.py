"""The transformers that can be run under a schedule, and where their cacheable components are."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.layout import Slot
from ecad_automl.runtime.inputs import InputBuilder, flux_inputs, pixart_inputs, sd3_inputs

__all__ = ["FAMILIES", "BlockGroup", "Component", "Family", "family_of", "slot_modules", "slots_of"]


@dataclass(frozen=True)
class Component:
    """A child module of a block whose raw output, before its gate and the residual add, can be cached.

    Args:
        name: attribute of the block.
        reader: the component of the block that alone reads the output; None where the residual stream does.
    """

    name: str
    reader: str | None = None


@dataclass(frozen=True)
class BlockGroup:
    """A list of equal blocks.

    Args:
        path: attribute of the transformer that holds the list.
        components: the components of a block, in the order in which its forward calls them.
    """

    path: str
    components: tuple[Component, ...]


@dataclass(frozen=True)
class Family:
    """A transformer class.

    Args:
        transformer: name of the class in diffusers.
        groups: the lists of blocks, in the order in which a forward runs them.
        pipelines: the pipelines whose transformer inputs ``inputs`` describes.
        guided_branches: images in the transformer's batch for one image with guidance on: 2 where the unconditional
            branch is computed too, 1 where guidance is an input of the transformer.
        inputs: makes the inputs of one forward.
    """

    transformer: str
    groups: tuple[BlockGroup, ...]
    pipelines: tuple[str, ...]
    guided_branches: int
    inputs: InputBuilder


FAMILIES = {
    family.transformer: family
    for family in (
        Family(
            transformer="PixArtTransformer2DModel",
            groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("attn2"), Component("ff"))),),
            pipelines=("PixArtAlphaPipeline", "PixArtSigmaPipeline"),
            guided_branches=2,
            inputs=pixart_inputs,
        ),
        Family(
            transformer="FluxTransformer2DModel",
            groups=(
                # One bit caches all that ``attn`` returns: image, context and, with an IP-Adapter, its output.
                BlockGroup("transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
                BlockGroup(
                    "single_transformer_blocks",
                    (Component("proj_mlp", "proj_out"), Component("attn", "proj_out"), Component("proj_out")),
                ),
            ),
            pipelines=("FluxPipeline", "FluxControlPipeline", "FluxFillPipeline"),
            guided_branches=1,
            inputs=flux_inputs,
        ),
        Family(
            transformer="SD3Transformer2DModel",
            groups=(
                # ``attn2`` is in some blocks of SD 3.5 medium alone; the last block has no ``ff_context``.
                BlockGroup(
                    "transformer_blocks",
                    (Component("attn"), Component("attn2"), Component("ff"), Component("ff_context")),
                ),
            ),
            pipelines=("StableDiffusion3Pipeline",),
            guided_branches=2,
            inputs=sd3_inputs,
        ),
    )
}


def family_of(transformer: nn.Module | str) -> Family:
    """The family of a transformer, or of the name of a transformer class.

    Raises:
        UnsupportedModelError: no family is known for that class.
    """
    name = transformer if isinstance(transformer, str) else type(transformer).__name__
    if name not in FAMILIES:
        raise UnsupportedModelError(
            f"The transformer class {name} cannot be run under a schedule; supported are {', '.join(FAMILIES)}."
        )
    return FAMILIES[name]


def slot_modules(transformer: nn.Module) -> tuple[tuple[Slot, nn.Module], ...]:
    """Each slot of a transformer with the module that computes it, in the order of a forward.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    found = []
    for group in family_of(transformer).groups:
        for index, block in enumerate(getattr(transformer, group.path)):
            for component in group.components:
                module = getattr(block, component.name, None)
                # A component that a block lacks is None, as attn2 of a PixArt configured without cross-attention.
                if module is not None:
                    found.append((Slot(f"{group.path}.{index}", component.name, component.reader), module))
    return tuple(found)


def slots_of(transformer: nn.Module) -> tuple[Slot, ...]:
    """The slots of a transformer in the order of a forward, with MACs of 0.

    Raises:
        UnsupportedModelError: the class of the transformer is not supported.
    """
    return tuple(slot for slot, _ in slot_modules(transformer))
