"""Wan, which makes videos."""

from __future__ import annotations

from typing import Any

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family


def _why_not(pipe: Any) -> str | None:
    """Two transformers take the steps in turns, each with another part of them."""
    boundary = getattr(pipe.config, "boundary_ratio", None)
    if getattr(pipe, "transformer_2", None) is not None or boundary is not None:
        return (
            "its steps are split between two transformers, which a schedule for one does not describe; give one for "
            "each: apply_pair(pipe, first, second), and search for one after the other: pair_of(pipe)[0], then "
            "pair_of(pipe, first=front)[1]"
        )
    return None


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
    why_not=_why_not,
)
