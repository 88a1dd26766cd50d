"""Z-Image."""

from __future__ import annotations

from typing import Any

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch


def _why_not(pipe: Any) -> str | None:
    """Blocks are called outside of the transformer."""
    controlnet = getattr(pipe, "controlnet", None)
    if controlnet is not None and getattr(controlnet, "noise_refiner", None) is pipe.transformer.noise_refiner:
        return "its ControlNet calls blocks of the transformer on its own"
    return None


_REFINED = (Component("attention"), Component("feed_forward"))

FAMILY = Family(
    transformer="ZImageTransformer2DModel",
    # The context refiner sees the text alone: what it computes is the same in every step. A ``siglip_refiner`` of an
    # omni checkpoint is no group: it runs only where there are images to look at.
    groups=(
        BlockGroup("noise_refiner", _REFINED),
        BlockGroup("context_refiner", _REFINED),
        BlockGroup("layers", _REFINED),
    ),
    pipelines=("ZImagePipeline",),
    why_not=_why_not,
    one_batch=OneBatch(conditional_first=True, lists=True, padded=32),
)
