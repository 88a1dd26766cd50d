"""The layout of a pipeline's transformer, with exact MACs: from its config alone, or from what a call feeds it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import diffusers
import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.patching import replaced, without_progress_bar
from ecad_automl.runtime.blocks import slots_of, text_modules
from ecad_automl.runtime.families import Family, Sample, family_of
from ecad_automl.runtime.guided import Halves
from ecad_automl.runtime.instrument import check_arguments, check_pipeline, transformer_of
from ecad_automl.runtime.macs import count_layout
from ecad_automl.runtime.modulations import idle_modulations
from ecad_automl.schedules.layout import Layout

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_Call = tuple[tuple[Any, ...], dict[str, Any]]


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
    told = sample.to_dict()
    if family.one_batch is None and sample.branches > 1:  # counted in one batch, but each is called
        told["calls"] = sample.branches
    calls = [((), inputs)]
    layout = count_layout(transformer, slots_of(transformer), calls, told, text=list(text_modules(transformer)))
    return replace(layout, modulations=idle_modulations(transformer, calls))


def layout_of_call(pipe: DiffusionPipeline, **call: Any) -> Layout:
    """The layout of a pipeline's transformer, with the MACs of one image (or video) of a call.

    The call is made up to the end of its first denoising step, so prompts are really encoded. The transformer itself
    is counted on the meta device, without its weights, where its forward allows that, and run once where not.
    Adapters loaded into the transformer (LoRA) are counted in the second case only.

    Args:
        pipe: a diffusers pipeline of any kind.
        **call: what the pipeline would be called with, for a single image.

    Raises:
        UnsupportedModelError: the transformer is not supported, or the pipeline changes it during a call.
        ScheduleError: the call ended without a denoising step, or was for several images.
    """
    transformer = transformer_of(pipe)
    slots = slots_of(transformer)
    refused = check_pipeline(pipe).refused_arguments
    if hasattr(pipe, "set_pag_applied_layers"):
        raise UnsupportedModelError(
            f"MACs cannot be counted for {type(pipe).__name__}: perturbed attention guidance changes the transformer "
            "during a call. Use the pipeline without it."
        )
    seen = _first_step(pipe, transformer, {"num_inference_steps": 2, **call})
    if not seen:
        raise ScheduleError(f"The call of {type(pipe).__name__} came to no denoising step, so no MACs can be counted.")
    for _, kwargs in seen:
        check_arguments(refused, kwargs)
    sample = _sample_of(transformer, call, seen)
    text = list(text_modules(transformer))
    twin = _meta_twin(transformer)
    how = family_of(transformer).one_batch
    is_guided = how is not None and len(seen) == 1 and sample["branches"] == 2  # one of them may be computed alone
    alone = Halves(how, transformer).of_call(*seen[0]) if how is not None and is_guided else None
    try:
        with torch.device("meta"):
            on_meta = tree_map_only(torch.Tensor, lambda x: x.to("meta"), (seen, alone))
            layout = count_layout(twin, slots, on_meta[0], sample, text=text, conditional=on_meta[1])
            return replace(layout, modulations=idle_modulations(twin, on_meta[0]))
    except (RuntimeError, NotImplementedError, TypeError):
        # The forward reads a value of a tensor, as lengths of texts in a mask, which the meta device has not.
        layout = count_layout(transformer, slots, seen, sample, text=text, fused_attention=True, conditional=alone)
        return replace(layout, modulations=idle_modulations(transformer, seen))


class _StepDone(Exception):  # noqa: N818 - no error
    """Ends a call after its first denoising step."""


def _first_step(pipe: Any, transformer: nn.Module, call: Mapping[str, Any]) -> list[_Call]:
    """What the transformer is called with in the first step of a pipeline call."""
    seen: list[_Call] = []
    forward, step = transformer.forward, pipe.scheduler.step

    def record(*args: Any, **kwargs: Any) -> Any:
        # Rebuilt, since some forwards empty the lists they are given.
        seen.append(tree_map_only(torch.Tensor, lambda x: x, (args, kwargs)))
        return forward(*args, **kwargs)

    def stop(*args: Any, **kwargs: Any) -> Any:
        if seen:
            raise _StepDone
        return step(*args, **kwargs)  # of another transformer

    try:
        with (
            without_progress_bar(pipe),
            replaced("forward", (transformer, record)),
            replaced("step", (pipe.scheduler, stop)),
        ):
            pipe(**call)
    except _StepDone:
        pass
    finally:
        pipe.maybe_free_model_hooks()
    return seen


def _meta_twin(transformer: Any) -> nn.Module:
    with torch.device("meta"):
        twin: nn.Module = type(transformer).from_config(dict(transformer.config))
    # The method of diffusers would warn of modules to be kept in float32, which do not matter here.
    return nn.Module.to(twin, transformer.dtype).eval()


def _sample_of(transformer: nn.Module, call: Mapping[str, Any], seen: list[_Call]) -> dict[str, int]:
    sample = {name: int(call[name]) for name in ("height", "width", "num_frames") if call.get(name) is not None}
    signature = inspect.signature(transformer.forward)
    named = [signature.bind(*args, **kwargs).arguments for args, kwargs in seen]
    text = named[0].get("encoder_hidden_states", named[0].get("cap_feats"))
    if text is not None:
        # One tensor of all texts, or, as for Z-Image, one for each.
        sample["text_tokens"] = int(text.shape[1] if isinstance(text, torch.Tensor) else len(text[0]))
    sample["branches"] = sum(len(next(iter(arguments.values()))) for arguments in named)
    return sample
