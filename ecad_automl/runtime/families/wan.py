"""Wan, which makes videos."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

FAMILY = Family(
    transformer="WanTransformer3DModel",
    # In image-to-video models ``attn2`` also attends to the image, by projections of its own: one bit for both.
    groups=(
        BlockGroup(
            "blocks",
            (Component("attn1"), Component("attn2", text=("to_k", "to_v", "norm_k", "to_kv")), Component("ffn")),
        ),
    ),
    text=("condition_embedder.text_embedder", "condition_embedder.image_embedder"),
    # Image-to-video models put the image before the text.
    joins_text=lambda transformer: transformer.condition_embedder.image_embedder is not None,
    positions={"rope": ()},
    pipelines=("WanPipeline", "WanImageToVideoPipeline"),
)
