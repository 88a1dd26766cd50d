"""FLUX.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, Sample, empty


def _inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """2 x 2 latent elements are one token."""
    height, width = sample.latent_size(2)
    batch, tokens = sample.branches, sample.text_tokens
    image_tokens = (height // 2) * (width // 2)
    return {
        "hidden_states": empty(batch, image_tokens, config["in_channels"]),
        "encoder_hidden_states": empty(batch, tokens, config["joint_attention_dim"]),
        "pooled_projections": empty(batch, config["pooled_projection_dim"]),
        "timestep": empty(batch),
        "guidance": empty(batch) if config["guidance_embeds"] else None,
        "img_ids": empty(image_tokens, 3),
        "txt_ids": empty(tokens, 3),
        "return_dict": False,
    }


FAMILY = Family(
    transformer="FluxTransformer2DModel",
    groups=(
        # One bit caches all that ``attn`` returns: image, context and, with an IP-Adapter, its output.
        BlockGroup("transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
        BlockGroup(
            "single_transformer_blocks",
            (Component("proj_mlp", "proj_out"), Component("attn", "proj_out"), Component("proj_out")),
        ),
    ),
    text=("context_embedder",),
    positions={"pos_embed": ("img_ids", "txt_ids")},
    pipelines=(
        "FluxPipeline",
        "FluxControlPipeline",
        "FluxControlNetPipeline",
        "FluxFillPipeline",
        "FluxKontextPipeline",
    ),
    counted=("FluxPipeline", "FluxControlPipeline", "FluxControlNetPipeline", "FluxFillPipeline"),
    inputs=_inputs,
)
