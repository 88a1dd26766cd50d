"""HiDream-I1."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family, OneBatch

FAMILY = Family(
    transformer="HiDreamImageTransformer2DModel",
    groups=(
        # Items of both lists only hand on to the block in them. A mixture of experts is one feed-forward.
        BlockGroup("double_stream_blocks", (Component("attn1"), Component("ff_i"), Component("ff_t")), inner="block"),
        BlockGroup("single_stream_blocks", (Component("attn1"), Component("ff_i")), inner="block"),
    ),
    pipelines=("HiDreamImagePipeline",),
    one_batch=OneBatch(second=("encoder_hidden_states_llama3",)),
)
