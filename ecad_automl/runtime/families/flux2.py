"""FLUX.2."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
    transformer="Flux2Transformer2DModel",
    groups=(
        BlockGroup("transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
        # One module does both attention and feed-forward, with fused projections.
        BlockGroup("single_transformer_blocks", (Component("attn"),)),
    ),
    pipelines=("Flux2Pipeline", "Flux2KleinPipeline", "Flux2KleinKVPipeline"),
    refused_arguments={
        "kv_cache_mode": "it leaves out the tokens of reference images after the first step, so that outputs of "
        "that step do not fit the later ones"
    },
)
