"""Chroma."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
    transformer="ChromaTransformer2DModel",
    groups=(
        BlockGroup("transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
        BlockGroup(
            "single_transformer_blocks",
            (Component("proj_mlp", "proj_out"), Component("attn", "proj_out"), Component("proj_out")),
        ),
    ),
    positions={"pos_embed": ("img_ids", "txt_ids")},
    pipelines=("ChromaPipeline",),
)
