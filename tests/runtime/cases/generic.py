"""Transformer classes without an adapter: real ones of diffusers, called in a little loop of denoising steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from torch import nn

from tests.runtime.cases.base import TOKENS, Case

__all__ = ["GENERIC_CASES", "LoopPipeline"]

TEXT_WIDTH = 12


class LoopPipeline(DiffusionPipeline):
    """Denoises with any transformer: ``inputs`` tells its arguments beside latents and timestep."""

    def __init__(self, transformer: nn.Module, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self, shape: tuple[int, ...], images: int, inputs: Any, num_inference_steps: int, generator: Any, **_: Any
    ) -> dict[str, torch.Tensor]:
        latents = torch.randn(images, *shape, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps)
        for timestep in self.scheduler.timesteps:
            predicted = self.transformer(
                hidden_states=latents, timestep=timestep.expand(images), return_dict=False, **inputs
            )
            predicted = predicted[0] if isinstance(predicted, tuple) else predicted
            latents = self.scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        return {"images": latents}


def _loop_case(transformer: nn.Module, shape: tuple[int, ...], inputs: Callable[[int], dict[str, Any]]) -> Case:
    torch.manual_seed(0)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.2)
    pipe = LoopPipeline(transformer.eval(), FlowMatchEulerDiscreteScheduler())

    def call_inputs(images: int) -> dict[str, Any]:
        return {"shape": shape, "images": images, "inputs": inputs(images)}

    generator = torch.Generator()  # layout_of_call gives none of its own
    return Case(pipe, {"generator": generator}, call_inputs, 1, 1)


def _texts(images: int, width: int = TEXT_WIDTH) -> torch.Tensor:
    return torch.randn(images, TOKENS, width, generator=torch.Generator().manual_seed(0))


def _prx() -> Case:
    transformer = diffusers.PRXTransformer2DModel(
        in_channels=4, context_in_dim=TEXT_WIDTH, hidden_size=16, num_heads=2, depth=3, axes_dim=[4, 4]
    )
    return _loop_case(transformer, (4, 8, 8), lambda images: {"encoder_hidden_states": _texts(images)})


def _kandinsky5() -> Case:
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_text_dim=TEXT_WIDTH,
        in_text_dim2=8,
        time_dim=16,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=2,
        num_visual_blocks=2,
        axes_dims=(4, 2, 2),
    )

    def inputs(images: int) -> dict[str, Any]:
        return {
            "encoder_hidden_states": _texts(images),
            "pooled_projections": _texts(images, 8)[:, 0],
            "visual_rope_pos": (torch.arange(2), torch.arange(4), torch.arange(4)),
            "text_rope_pos": torch.arange(TOKENS),
        }

    return _loop_case(transformer, (2, 8, 8, 4), inputs)


def _sana_video() -> Case:
    transformer = diffusers.SanaVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=3,
        num_cross_attention_heads=2,
        cross_attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=TEXT_WIDTH,
        sample_size=8,
    )
    return _loop_case(transformer, (4, 2, 8, 8), lambda images: {"encoder_hidden_states": _texts(images)})


def _ovis() -> Case:
    transformer = diffusers.OvisImageTransformer2DModel(
        in_channels=8,
        out_channels=8,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(2, 2, 4),
    )

    def inputs(images: int) -> dict[str, Any]:
        ids = {"img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(TOKENS, 3)}
        return {"encoder_hidden_states": _texts(images), **ids}

    return _loop_case(transformer, (16, 8), inputs)


GENERIC_CASES: dict[str, Callable[[], Case]] = {
    "prx": _prx,
    "kandinsky5": _kandinsky5,
    "sana-video": _sana_video,
    "ovis": _ovis,
}
