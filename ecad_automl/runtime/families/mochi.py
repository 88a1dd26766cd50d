"""Mochi, which makes videos."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="MochiTransformer3DModel",
    # The last block has no ``ff_context``.
    groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"), Component("ff_context"))),),
    pipelines=("MochiPipeline",),
    one_batch=OneBatch(),
)
