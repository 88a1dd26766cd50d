"""HunyuanVideo, which makes videos."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
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
    positions={"rope": ()},
    pipelines=("HunyuanVideoPipeline", "HunyuanVideoImageToVideoPipeline", "HunyuanSkyreelsImageToVideoPipeline"),
)
