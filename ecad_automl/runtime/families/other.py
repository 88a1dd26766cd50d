"""Families that make images by blocks of other kinds: refiners, linear attention, long skips, class labels."""

from __future__ import annotations

from ecad_automl.runtime.families import refusals
from ecad_automl.runtime.families.spec import BlockGroup, Component, Family

__all__ = ["OTHER_FAMILIES"]

_REFINED = (Component("attention"), Component("feed_forward"))
_LUMINA = (Component("attn"), Component("feed_forward"))
_CROSS = (Component("attn1"), Component("attn2"), Component("ff"))

OTHER_FAMILIES = (
    Family(
        transformer="ZImageTransformer2DModel",
        # The context refiner sees the text alone: what it computes is the same in every step. A ``siglip_refiner`` of
        # an omni checkpoint is no group: it runs only where there are images to look at.
        groups=(
            BlockGroup("noise_refiner", _REFINED),
            BlockGroup("context_refiner", _REFINED),
            BlockGroup("layers", _REFINED),
        ),
        pipelines=("ZImagePipeline",),
        why_not=refusals.z_image,
    ),
    Family(
        transformer="Lumina2Transformer2DModel",
        # Here the text is refined first, again the same in every step.
        groups=(
            BlockGroup("context_refiner", _LUMINA),
            BlockGroup("noise_refiner", _LUMINA),
            BlockGroup("layers", _LUMINA),
        ),
        pipelines=("Lumina2Pipeline",),
    ),
    Family(
        transformer="SanaTransformer2DModel",
        # ``ff`` is a convolution over the image.
        groups=(
            BlockGroup(
                "transformer_blocks",
                (Component("attn1"), Component("attn2", text=("to_k", "to_v", "norm_k")), Component("ff")),
            ),
        ),
        text=("caption_projection", "caption_norm"),
        pipelines=("SanaPipeline", "SanaSprintPipeline"),
    ),
    Family(
        transformer="HunyuanDiT2DModel",
        # ``skip_linear`` of the second half is no component: it makes the residual stream anew from that of an earlier
        # block, and a cached stream would undo all that the step has computed before.
        # Later blocks read what the first half gives.
        groups=(BlockGroup("blocks", _CROSS, chain=False),),
        pipelines=("HunyuanDiTPipeline",),
    ),
    Family(
        transformer="DiTTransformer2DModel",
        groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"))),),
        pipelines=("DiTPipeline",),
    ),
)
