"""Families that join image and text in one attention."""

from __future__ import annotations

from ecad_automl.runtime.families.spec import BlockGroup, Component, Family

__all__ = ["JOINT_FAMILIES"]

_IMAGE_AND_CONTEXT = (Component("attn"), Component("ff"), Component("ff_context"))

JOINT_FAMILIES = (
    Family(
        transformer="Flux2Transformer2DModel",
        groups=(
            BlockGroup("transformer_blocks", _IMAGE_AND_CONTEXT),
            # One module does both attention and feed-forward, with fused projections.
            BlockGroup("single_transformer_blocks", (Component("attn"),)),
        ),
        pipelines=("Flux2Pipeline", "Flux2KleinPipeline", "Flux2KleinKVPipeline"),
        refused_arguments={
            "kv_cache_mode": "it leaves out the tokens of reference images after the first step, so that outputs of "
            "that step do not fit the later ones"
        },
    ),
    Family(
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
    ),
    Family(
        transformer="CogView4Transformer2DModel",
        # One feed-forward serves image and text, one after the other.
        groups=(BlockGroup("transformer_blocks", (Component("attn1"), Component("ff", calls=2))),),
        pipelines=("CogView4Pipeline", "CogView4ControlPipeline"),
    ),
    Family(
        transformer="AuraFlowTransformer2DModel",
        groups=(
            # The attention does not join the residual stream: its image part is read by ``ff`` alone, its text part by
            # ``ff_context`` alone. Two readers cannot be told, so it counts as always read.
            BlockGroup("joint_transformer_blocks", _IMAGE_AND_CONTEXT),
            BlockGroup("single_transformer_blocks", (Component("attn", "ff"), Component("ff"))),
        ),
        pipelines=("AuraFlowPipeline",),
    ),
    Family(
        transformer="ChromaTransformer2DModel",
        groups=(
            BlockGroup("transformer_blocks", _IMAGE_AND_CONTEXT),
            BlockGroup(
                "single_transformer_blocks",
                (Component("proj_mlp", "proj_out"), Component("attn", "proj_out"), Component("proj_out")),
            ),
        ),
        pipelines=("ChromaPipeline",),
    ),
)
