"""Sana."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
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
    one_batch=OneBatch(),
)
