"""The transformers that can be run under a schedule, and where their cacheable components are."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime.families._generic import generic_family
from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, InputBuilder, OneBatch, Sample, empty

__all__ = ["FAMILIES", "BlockGroup", "Component", "Family", "InputBuilder", "OneBatch", "Sample", "empty", "family_of"]

#: The modules of this package that describe a family each, as ``FAMILY``.
_MODULES = (
    *("pixart", "flux", "sd3", "flux2", "qwen_image", "cogview4", "aura_flow", "chroma", "z_image", "lumina2", "sana"),
    *("hunyuan_dit", "hidream", "dit", "wan", "ltx", "hunyuan_video", "cogvideox", "mochi"),
)

#: By the name of the transformer class.
FAMILIES: dict[str, Family] = {
    family.transformer: family for family in (import_module(f"{__name__}.{name}").FAMILY for name in _MODULES)
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
