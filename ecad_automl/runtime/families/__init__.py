"""The transformers that can be run under a schedule, and where their cacheable components are."""

from __future__ import annotations

from operator import attrgetter

from torch import nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime.families.generic import generic_family
from ecad_automl.runtime.families.image import IMAGE_FAMILIES
from ecad_automl.runtime.families.joint import JOINT_FAMILIES
from ecad_automl.runtime.families.other import OTHER_FAMILIES
from ecad_automl.runtime.families.spec import BlockGroup, Component, Family
from ecad_automl.runtime.families.video import VIDEO_FAMILIES
from ecad_automl.schedules.layout import Slot

__all__ = ["FAMILIES", "BlockGroup", "Component", "Family", "family_of", "slot_modules", "slots_of"]

FAMILIES = {
    family.transformer: family for family in (*IMAGE_FAMILIES, *JOINT_FAMILIES, *OTHER_FAMILIES, *VIDEO_FAMILIES)
}


def family_of(transformer: nn.Module | str) -> Family:
    """The family of a transformer, or of the name of a transformer class.

    A transformer of a class that is not known gets a family of what its modules look like, with a warning; of a mere
    name nothing can be said.

    Raises:
        UnsupportedModelError: no family is known for that name, or no blocks were found in the transformer.
    """
    name = transformer if isinstance(transformer, str) else type(transformer).__name__
    if name in FAMILIES:
        return FAMILIES[name]
    if isinstance(transformer, str):
        raise UnsupportedModelError(
            f"The transformer class {name} cannot be run under a schedule; supported are {', '.join(FAMILIES)}."
        )
    if hasattr(transformer, "_orig_mod"):
        raise UnsupportedModelError(
            "The transformer is wrapped by torch.compile, which keeps its blocks out of reach; compile it in place "
            "instead, by transformer.compile()."
        )
    wrapped = next((kind for module in transformer.modules() if (kind := type(module).__name__) in FAMILIES), None)
    if wrapped is not None:
        raise UnsupportedModelError(
            f"The transformer is a {wrapped} wrapped in a {name}; put the {wrapped} itself under a schedule."
        )
    family = generic_family(transformer)
    if family is None:
        raise UnsupportedModelError(
            f"The transformer class {name} cannot be run under a schedule: it has no adapter, and no list of blocks "
            f"with an attention was found in it; adapters are there for {', '.join(FAMILIES)}."
        )
    return family


def slot_modules(transformer: nn.Module) -> tuple[tuple[Slot, nn.Module], ...]:
    """Each slot of a transformer with the module that computes it, in the order of a forward.

    Raises:
        UnsupportedModelError: no blocks were found in the transformer.
    """
    found = []
    for group in family_of(transformer).groups:
        for index, block in enumerate(attrgetter(group.path)(transformer)):
            for component in group.components:
                module = getattr(block, component.name, None)
                # A component that a block lacks is None, as attn2 of a PixArt configured without cross-attention.
                if module is not None:
                    found.append((Slot(f"{group.path}.{index}", component.name, component.reader), module))
    return tuple(found)


def slots_of(transformer: nn.Module) -> tuple[Slot, ...]:
    """The slots of a transformer in the order of a forward, with MACs of 0.

    Raises:
        UnsupportedModelError: no blocks were found in the transformer.
    """
    return tuple(slot for slot, _ in slot_modules(transformer))
