"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch, Sample, empty

_CLIP_TOKENS = 77


def _inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """CLIP's tokens stand before those of T5."""
    height, width = sample.latent_size(config["patch_size"])
    batch = sample.branches
    return {
        "hidden_states": empty(batch, config["in_channels"], height, width),
        "encoder_hidden_states": empty(batch, _CLIP_TOKENS + sample.text_tokens, config["joint_attention_dim"]),
        "pooled_projections": empty(batch, config["pooled_projection_dim"]),
        "timestep": empty(batch),
        "return_dict": False,
    }


FAMILY = Family(
    transformer="SD3Transformer2DModel",
    groups=(
        # ``attn2`` is in some blocks of SD 3.5 medium alone; the last block has no ``ff_context``.
        BlockGroup(
            "transformer_blocks",
            (Component("attn"), Component("attn2"), Component("ff"), Component("ff_context")),
        ),
    ),
    text=("context_embedder",),
    pipelines=("StableDiffusion3Pipeline",),
    counted=("StableDiffusion3Pipeline",),
    guided_branches=2,
    inputs=_inputs,
    one_batch=OneBatch(),
)
