"""Pipelines of supported transformers that cannot be run under a schedule, and why."""

from __future__ import annotations

from typing import Any

__all__ = ["cogvideox", "ltx", "wan", "z_image"]


def wan(pipe: Any) -> str | None:
    """Two transformers take the steps in turns, each with another part of them."""
    boundary = getattr(pipe.config, "boundary_ratio", None)
    if getattr(pipe, "transformer_2", None) is not None or boundary is not None:
        return "its steps are split between two transformers, which a schedule for one does not describe"
    return None


def ltx(pipe: Any) -> str | None:
    """Several windows are denoised in one call."""
    if type(pipe).__name__ == "LTXI2VLongMultiPromptPipeline":
        return "it denoises several windows in one call and leaves out steps"
    return None


def cogvideox(pipe: Any) -> str | None:
    """A run that begins late cannot be noticed, since the schedulers tell no step."""
    if type(pipe).__name__ == "CogVideoXVideoToVideoPipeline":
        return "its runs begin at a step that its scheduler does not tell"
    return None


def z_image(pipe: Any) -> str | None:
    """Blocks are called outside of the transformer."""
    controlnet = getattr(pipe, "controlnet", None)
    if controlnet is not None and getattr(controlnet, "noise_refiner", None) is pipe.transformer.noise_refiner:
        return "its ControlNet calls blocks of the transformer on its own"
    return None
