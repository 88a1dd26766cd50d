"""PixArt-alpha and PixArt-Sigma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch, Sample, empty


def _inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    height, width = sample.latent_size(config["patch_size"])
    batch, tokens = sample.branches, sample.text_tokens
    text_width = config["caption_channels"] or config["cross_attention_dim"]
    conditions = config["use_additional_conditions"]
    if conditions is None:  # the model's own default
        conditions = config["sample_size"] == 128
    return {
        "hidden_states": empty(batch, config["in_channels"], height, width),
        "encoder_hidden_states": empty(batch, tokens, text_width),
        "encoder_attention_mask": empty(batch, tokens),
        "timestep": empty(batch),
        "added_cond_kwargs": {
            "resolution": empty(batch, 2) if conditions else None,
            "aspect_ratio": empty(batch, 1) if conditions else None,
        },
        "return_dict": False,
    }


FAMILY = Family(
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
    inputs=_inputs,
    one_batch=OneBatch(),
)
