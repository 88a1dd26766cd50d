"""CogVideoX, which makes videos."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="CogVideoXTransformer3DModel",
    # ``ff`` takes text and video in one sequence.
    groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff"))),),
    pipelines=("CogVideoXPipeline", "CogVideoXImageToVideoPipeline", "CogVideoXFunControlPipeline"),
    refused_pipelines={"CogVideoXVideoToVideoPipeline": "its runs begin at a step that its scheduler does not tell"},
    one_batch=OneBatch(shared=("image_rotary_emb",)),
)
