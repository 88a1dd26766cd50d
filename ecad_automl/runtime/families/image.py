"""Families that make images."""

from __future__ import annotations

from ecad_automl.runtime.families.spec import BlockGroup, Component, Family
from ecad_automl.runtime.inputs import flux_inputs, pixart_inputs, sd3_inputs

__all__ = ["IMAGE_FAMILIES"]

IMAGE_FAMILIES = (
    Family(
        transformer="PixArtTransformer2DModel",
        groups=(
            BlockGroup(
                "transformer_blocks", (Component("attn1"), Component("attn2", text=("to_k", "to_v")), Component("ff"))
            ),
        ),
        text=("caption_projection",),
        pipelines=("PixArtAlphaPipeline", "PixArtSigmaPipeline"),
        counted=("PixArtAlphaPipeline", "PixArtSigmaPipeline"),
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
        pipelines=(
            "FluxPipeline",
            "FluxControlPipeline",
            "FluxControlNetPipeline",
            "FluxFillPipeline",
            "FluxKontextPipeline",
        ),
        counted=("FluxPipeline", "FluxControlPipeline", "FluxControlNetPipeline", "FluxFillPipeline"),
        inputs=flux_inputs,
        text=("context_embedder",),
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
        counted=("StableDiffusion3Pipeline",),
        guided_branches=2,
        inputs=sd3_inputs,
        text=("context_embedder",),
    ),
)
