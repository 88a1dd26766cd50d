"""Pipelines that begin with an image and leave out steps for it, made of the parts of other cases."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from tests.runtime.cases import CASES, Case
from tests.tiny_models import tiny_vae

__all__ = ["IMAGE_TO_IMAGE", "ImageToImage"]


class _NoVae(nn.Module):
    """Latents are given, so that only the type of a VAE is asked for."""

    dtype, device = torch.float32, torch.device("cpu")


@dataclass(frozen=True)
class ImageToImage:
    """A pipeline that begins with an image.

    Args:
        pipeline: name of its class.
        like: the case whose parts and arguments it takes.
        call: further arguments.
        parts: make parts that are not as in that case.
        strength: the argument that tells how many of the steps are done.
    """

    pipeline: str
    like: str
    call: dict[str, Any]
    parts: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    strength: str = "strength"

    def case(self, strength: float) -> Case:
        """The case that does this share of the steps."""
        like = CASES[self.like]()
        kind = getattr(diffusers, self.pipeline)
        pipe = kind(**_taken(kind.__init__, like.pipe.components))
        for name, make in self.parts.items():
            setattr(pipe, name, make())
        call = {**like.call, **self.call, self.strength: strength}
        return replace(like, pipe=pipe, call=_taken(kind.__call__, call))


def _taken(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Those arguments that a function takes."""
    names = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in names}


def _latents(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


_IMAGE = torch.zeros(1, 3, 32, 64)
_FROM_LATENTS = {"image": _IMAGE, "latents": _latents(1, 8, 8)}  # packed

#: By the class of the transformer.
IMAGE_TO_IMAGE = {
    "FluxTransformer2DModel": ImageToImage("FluxImg2ImgPipeline", "flux-true-cfg", _FROM_LATENTS),
    "SD3Transformer2DModel": ImageToImage(
        "StableDiffusion3Img2ImgPipeline",
        "sd3-guided",
        {"image": _latents(1, 4, 2, 4).sigmoid()},
        {"vae": partial(tiny_vae, shift_factor=0.1)},
    ),
    "Flux2Transformer2DModel": ImageToImage(
        "Flux2KleinInpaintPipeline", "flux2-klein-guided", {"image": _IMAGE, "mask_image": torch.ones(1, 1, 32, 64)}
    ),
    "QwenImageTransformer2DModel": ImageToImage("QwenImageImg2ImgPipeline", "qwen-image-guided", _FROM_LATENTS),
    "ChromaTransformer2DModel": ImageToImage("ChromaImg2ImgPipeline", "chroma-guided", _FROM_LATENTS),
    "ZImageTransformer2DModel": ImageToImage(
        "ZImageImg2ImgPipeline", "zimage-guided", {"image": _IMAGE, "latents": _latents(1, 4, 4, 8)}
    ),
    "SanaTransformer2DModel": ImageToImage(
        "SanaSprintImg2ImgPipeline", "sana-sprint", {"image": _IMAGE, "latents": _latents(1, 4, 2, 4)}, {"vae": _NoVae}
    ),
    "WanTransformer3DModel": ImageToImage(
        "WanVideoToVideoPipeline", "wan-guided", {"latents": _latents(1, 4, 2, 2, 4)}
    ),
    "LTXVideoTransformer3DModel": ImageToImage(
        "LTXConditionPipeline",
        "ltx-guided",
        {"latents": _latents(1, 4, 2, 1, 2)},
        {"vae": _NoVae, "scheduler": FlowMatchEulerDiscreteScheduler},
        "denoise_strength",
    ),
    "CogVideoXTransformer3DModel": ImageToImage(
        "CogVideoXVideoToVideoPipeline", "cogvideox-guided", {"latents": _latents(1, 2, 4, 2, 4)}
    ),
}
