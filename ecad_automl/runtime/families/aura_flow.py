"""AuraFlow."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="AuraFlowTransformer2DModel",
    groups=(
        # The attention does not join the residual stream: its image part is read by ``ff`` alone, its text part by
        # ``ff_context`` alone. Two readers cannot be told, so it counts as always read.
        BlockGroup("joint_transformer_blocks", (Component("attn"), Component("ff"), Component("ff_context"))),
        BlockGroup("single_transformer_blocks", (Component("attn", "ff"), Component("ff"))),
    ),
    pipelines=("AuraFlowPipeline",),
    one_batch=OneBatch(),
)
