"""Which pipelines make images from text prompts, and how their users commonly call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ecad_automl.bundled import BUNDLED
from ecad_automl.errors import UnsupportedModelError
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.runtime.families import FAMILIES

# What a call takes in pipelines that need more than a text, or that make something else than an image.
_NEEDS_MORE = ("control_image", "control_video", "mask_image", "max_area", "num_frames")

# Pipelines that know no size of their own take this one.
_USUAL_SIZE = 1024


@cache
def supported_pipelines() -> tuple[str, ...]:
    """Names of the pipeline classes that can be searched: those of the families that need no more than a prompt."""
    import diffusers

    names = dict.fromkeys(name for family in FAMILIES.values() for name in family.pipelines)
    return tuple(name for name in names if _needs_text_alone(getattr(diffusers, name, None)))


def check_text_to_image(pipe: Any, name: str) -> None:
    """Whether a pipeline can be searched.

    Args:
        pipe: a pipeline.
        name: what the user called it.

    Raises:
        UnsupportedModelError: its images do not come from text prompts alone, or it is of no known kind.
    """
    kinds = [cls.__name__ for cls in type(pipe).__mro__]
    known = any(kind in family.pipelines for family in FAMILIES.values() for kind in kinds)
    if known and _needs_text_alone(type(pipe)):
        return
    why = (
        "which does not make images from text prompts alone; apply_schedule can run it under a schedule, but searching,"
        " generating and timing here take"
        if known
        else "which is not supported here; supported are"
    )
    raise UnsupportedModelError(f"The model {name!r} is a {kinds[0]}, {why} {', '.join(supported_pipelines())}.")


def _needs_text_alone(kind: Any) -> bool:
    if kind is None:  # this version of diffusers does not have it
        return False
    arguments = _arguments(kind.__call__)
    if not {"prompt", "height", "width"} <= arguments.keys() or any(name in arguments for name in _NEEDS_MORE):
        return False
    # An image that may be given with the prompt is no matter; one that the prompt is read with must be there.
    return "image" not in arguments or "image" not in _arguments(kind.encode_prompt)


def _arguments(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(method).parameters


def default_settings(pipe: Any, name: str) -> GenerationSettings:
    """How users of this pipeline commonly call it, as its own ``__call__`` has it; or as a bundled model is called."""
    if name in BUNDLED:
        model = BUNDLED[name]
        return GenerationSettings(
            model.steps, model.guidance_scale, model.size, model.size, model.tokens, dict(model.extra)
        )
    arguments = _arguments(type(pipe).__call__)
    usual = {name: argument.default for name, argument in arguments.items()}
    # ECAD searched FLUX with 20 steps.
    steps = 20 if type(pipe).__name__ == "FluxPipeline" else int(usual["num_inference_steps"])
    guided_by = guidance_argument(usual)
    size = _size(pipe, usual)
    tokens = usual.get("max_sequence_length")
    return GenerationSettings(
        steps=steps,
        # Without guidance of its own, a pipeline has no unconditional branch, as with a scale of 1.
        guidance_scale=float(usual[guided_by]) if guided_by else 1.0,
        height=size,
        width=size,
        max_sequence_length=None if tokens is None else int(tokens),
        extra=extra_arguments(pipe, usual),
        guidance_argument=guided_by,
    )


def guidance_argument(usual: Mapping[str, Any]) -> str | None:
    """The argument that says how strongly prompts guide the image."""
    scale = usual.get("true_cfg_scale")
    # Where both are there, one is for distilled guidance: FLUX has true_cfg_scale off, Qwen-Image guidance_scale.
    if scale is not None and scale > 1.0:
        return "true_cfg_scale"
    return "guidance_scale" if usual.get("guidance_scale") is not None else None


def _size(pipe: Any, usual: Mapping[str, Any]) -> int:
    """Height and width of the images that the model was trained for."""
    latent = getattr(pipe, "default_sample_size", None)
    own = getattr(pipe.transformer.config, "sample_size", None)
    # Where the default of the call is one for models of all sizes, binning makes an image of the model's own size.
    if latent is None and (usual.get("height") is None or "use_resolution_binning" in usual):
        latent = own
    if latent is not None:
        return int(latent) * int(pipe.vae_scale_factor)
    return int(usual.get("height") or _USUAL_SIZE)


def extra_arguments(pipe: Any, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of some pipelines that must not be left at their defaults."""
    extra: dict[str, Any] = {}
    if "clean_caption" in usual:
        extra["clean_caption"] = False  # cleaning needs libraries of its own
    if "use_resolution_binning" in usual:
        # Binning snaps to the aspect ratios of the published sizes and refuses all others. For PixArt it is what all
        # do; others get just the size that is asked for.
        pixart = type(pipe.transformer).__name__ == "PixArtTransformer2DModel"
        extra["use_resolution_binning"] = pixart and pipe.transformer.config.sample_size in (32, 64, 128)
    if "intermediate_timesteps" in usual:
        extra["intermediate_timesteps"] = None  # Sana Sprint's is for runs of two steps alone
    return extra
