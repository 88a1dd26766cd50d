"""The layout of a pipeline's transformer, with exact MACs, without touching its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.runtime.blocks import slots_of, text_paths
from ecad_automl.runtime.families import Family, Sample, family_of
from ecad_automl.runtime.macs import count_layout
from ecad_automl.schedules.layout import Layout

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def layout_of(
    pipe: DiffusionPipeline,
    *,
    height: int,
    width: int,
    guidance: bool,
    text_tokens: int | None = None,
    branches: int | None = None,
) -> Layout:
    """The layout of a pipeline's transformer, with the MACs of one image.

    A second transformer is made from the config on the meta device, so that the count costs neither memory nor the
    real weights. Adapters loaded into the real transformer (LoRA) are not counted.

    Args:
        pipe: a diffusers pipeline.
        height: of the image in pixels, after the pipeline's resolution binning where it does any.
        width: of the image in pixels, likewise.
        guidance: whether the pipeline is called with a ``guidance_scale`` above 1. It doubles PixArt's batch and
            changes nothing for FLUX, where it is an input of the transformer.
        text_tokens: the call's ``max_sequence_length``; the pipeline's default if None.
        branches: guidance branches, where ``guidance`` does not tell: 2 for FLUX with ``true_cfg_scale`` above 1.

    Raises:
        UnsupportedModelError: the transformer is not supported, or its inputs in such a pipeline are not known.
        ScheduleError: the image does not fit the model.
    """
    family = family_of(pipe.transformer)
    if not any(cls.__name__ in family.counted for cls in type(pipe).__mro__):
        known = f"; known are those of {', '.join(family.counted)}" if family.counted else ""
        raise UnsupportedModelError(
            f"The transformer inputs of {type(pipe).__name__} are not known from its config{known}. Use "
            "layout_of_call, which sees them in a call."
        )
    if text_tokens is None:
        text_tokens = int(inspect.signature(type(pipe).__call__).parameters["max_sequence_length"].default)
    if branches is None:
        branches = family.guided_branches if guidance else 1
    sample = Sample(height, width, text_tokens, branches, int(pipe.vae_scale_factor))
    return _count(family, pipe.transformer.config, sample)


def layout_from_config(transformer: str, config: Mapping[str, Any], sample: Sample) -> Layout:
    """The layout of a transformer of which only the config is at hand.

    Args:
        transformer: name of the class, such as ``"FluxTransformer2DModel"``.
        config: the content of the transformer's ``config.json``; what it leaves out has the class's default.
        sample: what is generated.

    Raises:
        UnsupportedModelError: the transformer is not supported.
        ScheduleError: the image does not fit the model, or the config does not fit the class.
    """
    return _count(family_of(transformer), config, sample)


def _count(family: Family, config: Mapping[str, Any], sample: Sample) -> Layout:
    if family.inputs is None:
        raise UnsupportedModelError(
            f"The inputs of {family.transformer} are not known from its config; use layout_of_call with a call of its "
            "pipeline."
        )
    cls = getattr(diffusers, family.transformer)
    try:
        with torch.device("meta"):
            transformer = cls.from_config(dict(config))
    except (TypeError, ValueError, KeyError) as error:
        raise ScheduleError(
            f"No {family.transformer} can be made from this config ({error}); give its config.json."
        ) from error
    transformer.eval()
    inputs = family.inputs(transformer.config, sample)
    return count_layout(
        transformer, slots_of(transformer), [((), inputs)], sample.to_dict(), text=text_paths(transformer)
    )
