"""DiT, by class labels."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="DiTTransformer2DModel",
    groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"))),),
    pipelines=("DiTPipeline",),
    one_batch=OneBatch(conditional_first=True),
)
