"""Hunyuan-DiT."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="HunyuanDiT2DModel",
    # ``skip_linear`` of the second half is no component: it makes the residual stream anew from that of an earlier
    # block, and a cached stream would undo all that the step has computed before.
    # Later blocks read what the first half gives.
    groups=(BlockGroup("blocks", (Component("attn1"), Component("attn2"), Component("ff")), chain=False),),
    pipelines=("HunyuanDiTPipeline",),
    one_batch=OneBatch(shared=("image_rotary_emb",)),
)
