"""Lumina-Image 2.0."""

from __future__ import annotations

from ecad_automl.runtime.families._spec import BlockGroup, Component, Family

_COMPONENTS = (Component("attn"), Component("feed_forward"))

FAMILY = Family(
    transformer="Lumina2Transformer2DModel",
    # The text is refined first, the same in every step.
    groups=(
        BlockGroup("context_refiner", _COMPONENTS),
        BlockGroup("noise_refiner", _COMPONENTS),
        BlockGroup("layers", _COMPONENTS),
    ),
    pipelines=("Lumina2Pipeline",),
)
