"""Qwen-Image."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
    transformer="QwenImageTransformer2DModel",
    groups=(
        # Nothing reads what ``txt_mlp`` gives in the last block.
        BlockGroup("transformer_blocks", (Component("attn"), Component("img_mlp"), Component("txt_mlp"))),
    ),
    pipelines=(
        "QwenImagePipeline",
        "QwenImageEditPipeline",
        "QwenImageEditPlusPipeline",
        "QwenImageLayeredPipeline",
        "QwenImageControlNetPipeline",
        "QwenImageControlNetInpaintPipeline",
    ),
)
