"""Families that make videos."""

from __future__ import annotations

from ecad_automl.runtime.families import refusals
from ecad_automl.runtime.families.spec import BlockGroup, Component, Family

__all__ = ["VIDEO_FAMILIES"]

_WAN_CROSS = Component("attn2", text=("to_k", "to_v", "norm_k", "to_kv"))

VIDEO_FAMILIES: tuple[Family, ...] = (
    Family(
        transformer="WanTransformer3DModel",
        # In image-to-video models ``attn2`` also attends to the image, by projections of its own: one bit for both.
        groups=(BlockGroup("blocks", (Component("attn1"), _WAN_CROSS, Component("ffn"))),),
        text=("condition_embedder.text_embedder", "condition_embedder.image_embedder"),
        # Image-to-video models put the image before the text.
        joins_text=lambda transformer: transformer.condition_embedder.image_embedder is not None,
        pipelines=("WanPipeline", "WanImageToVideoPipeline"),
        why_not=refusals.wan,
    ),
    Family(
        transformer="LTXVideoTransformer3DModel",
        groups=(
            BlockGroup(
                "transformer_blocks",
                (Component("attn1"), Component("attn2", text=("to_k", "to_v", "norm_k")), Component("ff")),
            ),
        ),
        text=("caption_projection",),
        pipelines=("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"),
        why_not=refusals.by_name,
    ),
    Family(
        transformer="HunyuanVideoTransformer3DModel",
        groups=(
            # Refines the text anew in each step, since it takes the timestep too.
            BlockGroup("context_embedder.token_refiner.refiner_blocks", (Component("attn"), Component("ff"))),
            BlockGroup("transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
            BlockGroup(
                "single_transformer_blocks",
                (Component("proj_mlp", "proj_out"), Component("attn", "proj_out"), Component("proj_out")),
            ),
        ),
        pipelines=("HunyuanVideoPipeline", "HunyuanVideoImageToVideoPipeline", "HunyuanSkyreelsImageToVideoPipeline"),
    ),
    Family(
        transformer="CogVideoXTransformer3DModel",
        # ``ff`` takes text and video in one sequence.
        groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"))),),
        pipelines=("CogVideoXPipeline", "CogVideoXImageToVideoPipeline", "CogVideoXFunControlPipeline"),
        why_not=refusals.by_name,
    ),
    Family(
        transformer="MochiTransformer3DModel",
        # The last block has no ``ff_context``.
        groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"), Component("ff_context"))),),
        pipelines=("MochiPipeline",),
    ),
)
