"""Pipelines of random weights, small ones and published sizes: time does not depend on what the weights are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)

from ecad_automl.runtime import layout_of, layout_of_call
from ecad_automl.schedules.layout import Layout

__all__ = ["MODELS", "Subject", "flux"]


@dataclass(frozen=True)
class Subject:
    """A pipeline of random weights and how it is called."""

    pipe: Any
    inputs: Callable[[int], dict[str, Any]]  # what a number of images is asked for by
    layout: Layout


def pixart(size: int, device: str, **config: Any) -> Subject:
    """PixArt-alpha at ``size`` pixels, with guidance."""
    width = config.get("num_attention_heads", 16) * config.get("attention_head_dim", 72)
    settings = {"cross_attention_dim": width, "caption_channels": 4096, "sample_size": size // 8, "out_channels": 8}
    with _made_on(device):
        transformer = PixArtTransformer2DModel(**settings | config).eval()
    pipe = PixArtAlphaPipeline(None, None, None, transformer, DPMSolverMultistepScheduler())
    channels = transformer.config.caption_channels

    def inputs(images: int) -> dict[str, Any]:
        text, mask = _random(device, images, 120, channels), torch.ones(images, 120, device=device)
        return {
            "prompt_embeds": text,
            "prompt_attention_mask": mask,
            "negative_prompt": None,
            "negative_prompt_embeds": text,
            "negative_prompt_attention_mask": mask,
            "height": size,
            "width": size,
            "use_resolution_binning": False,
            "guidance_scale": 4.5,
        }

    layout = layout_of(pipe, height=size, width=size, guidance=True, text_tokens=120)
    return Subject(pipe, inputs, layout)


def flux(size: int, device: str, tokens: int = 512, **config: Any) -> Subject:
    """FLUX.1-dev at ``size`` pixels."""
    with _made_on(device):
        transformer = FluxTransformer2DModel(**{"guidance_embeds": True} | config).eval()
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    pipe = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), transformer=transformer, **parts)
    wide, pooled = transformer.config.joint_attention_dim, transformer.config.pooled_projection_dim

    def inputs(images: int) -> dict[str, Any]:
        return {
            "prompt_embeds": _random(device, images, tokens, wide),
            "pooled_prompt_embeds": _random(device, images, pooled),
            "height": size,
            "width": size,
            "guidance_scale": 3.5,
        }

    return Subject(pipe, inputs, layout_of(pipe, height=size, width=size, guidance=True, text_tokens=tokens))


def qwen(size: int, device: str, tokens: int = 512, **config: Any) -> Subject:
    """Qwen-Image at ``size`` pixels, with guidance: a call of the transformer for each branch."""
    with _made_on(device):
        transformer = QwenImageTransformer2DModel(**config).eval()
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer"))
    pipe = QwenImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(), transformer=transformer, **parts)
    wide = transformer.config.joint_attention_dim

    def inputs(images: int) -> dict[str, Any]:
        mask = torch.ones(images, tokens, device=device, dtype=torch.long)
        return {
            "prompt_embeds": _random(device, images, tokens, wide),
            "prompt_embeds_mask": mask,
            "negative_prompt_embeds": _random(device, images, tokens, wide),
            "negative_prompt_embeds_mask": mask,
            "height": size,
            "width": size,
            "true_cfg_scale": 4.0,
        }

    return Subject(pipe, inputs, layout_of_call(pipe, **inputs(1), output_type="latent"))


MODELS: dict[str, Callable[[str], Subject]] = {
    "pixart-384": lambda device: pixart(
        256, device, num_attention_heads=6, attention_head_dim=64, num_layers=12, caption_channels=384
    ),
    "pixart-tiny": lambda device: pixart(
        64, device, num_attention_heads=2, attention_head_dim=8, num_layers=2, caption_channels=16
    ),
    "flux-384": lambda device: flux(
        256,
        device,
        tokens=128,
        num_attention_heads=6,
        attention_head_dim=64,
        axes_dims_rope=(8, 28, 28),
        num_layers=4,
        num_single_layers=8,
        joint_attention_dim=384,
        pooled_projection_dim=384,
    ),
    "flux-tiny": lambda device: flux(
        64,
        device,
        tokens=8,
        num_attention_heads=2,
        attention_head_dim=8,
        axes_dims_rope=(2, 2, 4),
        num_layers=1,
        num_single_layers=3,
        joint_attention_dim=16,
        pooled_projection_dim=16,
    ),
    # Twice as wide, with fewer blocks.
    "flux-768": lambda device: flux(
        256,
        device,
        tokens=128,
        num_attention_heads=12,
        attention_head_dim=64,
        axes_dims_rope=(8, 28, 28),
        num_layers=1,
        num_single_layers=3,
        joint_attention_dim=768,
        pooled_projection_dim=768,
    ),
    "qwen-tiny": lambda device: qwen(
        64,
        device,
        tokens=8,
        in_channels=64,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    ),
    "pixart-xl-256": lambda device: pixart(256, device),
    "pixart-xl-1024": lambda device: pixart(1024, device, use_additional_conditions=True),
    "flux-dev-1024": lambda device: flux(1024, device),
    "qwen-image-1024": lambda device: qwen(1024, device),
}


@contextmanager
def _made_on(device: str) -> Iterator[None]:
    """Weights are made on the device in the type they are to have: a larger one might not fit."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(_dtype(device))
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _dtype(device: str) -> torch.dtype:
    return torch.float32 if device == "cpu" else torch.bfloat16


def _random(device: str, *shape: int) -> torch.Tensor:
    return torch.randn(shape, device=device, dtype=_dtype(device))
