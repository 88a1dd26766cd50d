"""Pipelines of supported transformers that cannot be run under a schedule, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["BY_NAME", "by_name", "wan", "z_image"]

#: Why pipelines of these names are refused.
BY_NAME: Mapping[str, str] = {
    "LTXI2VLongMultiPromptPipeline": "it denoises several windows in one call and leaves out steps",
    "CogVideoXVideoToVideoPipeline": "its runs begin at a step that its scheduler does not tell",
}


def wan(pipe: Any) -> str | None:
    """Two transformers take the steps in turns, each with another part of them."""
    boundary = getattr(pipe.config, "boundary_ratio", None)
    if getattr(pipe, "transformer_2", None) is not None or boundary is not None:
        return "its steps are split between two transformers, which a schedule for one does not describe"
    return None


def by_name(pipe: Any) -> str | None:
    """Pipelines whose class alone is reason enough, and subclasses of them."""
    return next((BY_NAME[kind.__name__] for kind in type(pipe).__mro__ if kind.__name__ in BY_NAME), None)


def z_image(pipe: Any) -> str | None:
    """Blocks are called outside of the transformer."""
    controlnet = getattr(pipe, "controlnet", None)
    if controlnet is not None and getattr(controlnet, "noise_refiner", None) is pipe.transformer.noise_refiner:
        return "its ControlNet calls blocks of the transformer on its own"
    return None
