"""LTX-Video, which makes videos."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="LTXVideoTransformer3DModel",
    groups=(
        BlockGroup(
            "transformer_blocks",
            (Component("attn1"), Component("attn2", text=("to_k", "to_v", "norm_k")), Component("ff")),
        ),
    ),
    text=("caption_projection",),
    pipelines=("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline"),
    refused_pipelines={"LTXI2VLongMultiPromptPipeline": "it denoises several windows in one call and leaves out steps"},
    one_batch=OneBatch(),
)
