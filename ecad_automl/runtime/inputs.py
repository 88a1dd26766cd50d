"""What a pipeline feeds its transformer for one image: tensors on the meta device, which have a shape and no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ecad_automl.errors import ScheduleError

__all__ = ["InputBuilder", "Sample", "flux_inputs", "pixart_inputs", "sd3_inputs"]

_CLIP_TOKENS = 77


@dataclass(frozen=True)
class Sample:
    """The size of what is generated.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        text_tokens: prompt tokens, padding included.
        branches: guidance branches, which is the transformer's batch for one image.
        vae_scale_factor: pixels per latent element, along each side.
    """

    height: int
    width: int
    text_tokens: int
    branches: int = 1
    vae_scale_factor: int = 8

    def to_dict(self) -> dict[str, int]:
        """What a layout records of it."""
        return {
            "height": self.height,
            "width": self.width,
            "text_tokens": self.text_tokens,
            "branches": self.branches,
        }

    def latent_size(self, patch_size: int) -> tuple[int, int]:
        """Height and width of the latent image, which must be whole patches.

        Raises:
            ScheduleError: a size is not positive, or the image is not a whole number of patches.
        """
        if min(self.text_tokens, self.branches, self.vae_scale_factor) < 1:
            raise ScheduleError(f"MACs cannot be counted for {self}; all sizes must be at least 1.")
        unit = self.vae_scale_factor * patch_size
        if self.height < 1 or self.width < 1 or self.height % unit or self.width % unit:
            raise ScheduleError(
                f"An image of {self.height} x {self.width} pixels does not fit this model; height and width must be "
                f"positive multiples of {unit}."
            )
        return self.height // self.vae_scale_factor, self.width // self.vae_scale_factor


#: Makes the keyword arguments of one transformer forward from the transformer's config and a sample.
InputBuilder = Callable[[Mapping[str, Any], Sample], dict[str, Any]]


def pixart_inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Inputs of ``PixArtTransformer2DModel``, as PixArtAlphaPipeline and PixArtSigmaPipeline make them."""
    height, width = sample.latent_size(config["patch_size"])
    batch, tokens = sample.branches, sample.text_tokens
    text_width = config["caption_channels"] or config["cross_attention_dim"]
    conditions = config["use_additional_conditions"]
    if conditions is None:  # the model's own default
        conditions = config["sample_size"] == 128
    return {
        "hidden_states": _empty(batch, config["in_channels"], height, width),
        "encoder_hidden_states": _empty(batch, tokens, text_width),
        "encoder_attention_mask": _empty(batch, tokens),
        "timestep": _empty(batch),
        "added_cond_kwargs": {
            "resolution": _empty(batch, 2) if conditions else None,
            "aspect_ratio": _empty(batch, 1) if conditions else None,
        },
        "return_dict": False,
    }


def sd3_inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Inputs of ``SD3Transformer2DModel``, as StableDiffusion3Pipeline makes them: CLIP's tokens before those of T5."""
    height, width = sample.latent_size(config["patch_size"])
    batch = sample.branches
    return {
        "hidden_states": _empty(batch, config["in_channels"], height, width),
        "encoder_hidden_states": _empty(batch, _CLIP_TOKENS + sample.text_tokens, config["joint_attention_dim"]),
        "pooled_projections": _empty(batch, config["pooled_projection_dim"]),
        "timestep": _empty(batch),
        "return_dict": False,
    }


def flux_inputs(config: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Inputs of ``FluxTransformer2DModel``, as FluxPipeline makes them: 2 x 2 latent elements are one token."""
    height, width = sample.latent_size(2)
    batch, tokens = sample.branches, sample.text_tokens
    image_tokens = (height // 2) * (width // 2)
    return {
        "hidden_states": _empty(batch, image_tokens, config["in_channels"]),
        "encoder_hidden_states": _empty(batch, tokens, config["joint_attention_dim"]),
        "pooled_projections": _empty(batch, config["pooled_projection_dim"]),
        "timestep": _empty(batch),
        "guidance": _empty(batch) if config["guidance_embeds"] else None,
        "img_ids": _empty(image_tokens, 3),
        "txt_ids": _empty(tokens, 3),
        "return_dict": False,
    }


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")
