"""CogView 4."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
    transformer="CogView4Transformer2DModel",
    # One feed-forward serves image and text, one after the other.
    groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff", calls=2))),),
    positions={"rope": ()},
    pipelines=("CogView4Pipeline", "CogView4ControlPipeline"),
)
