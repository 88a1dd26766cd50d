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


def _bria() -> Case:
    transformer = diffusers.BriaTransformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=[0, 4, 4],
    )

    def inputs(images: int) -> dict[str, Any]:
        ids = {"img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(TOKENS, 3)}
        return {"encoder_hidden_states": _texts(images), **ids}

    return _loop_case(transformer, (16, 4), inputs)


def _latte() -> Case:
    """Blocks of two lists take turns, so that slots are listed in another order than they are called in."""
    transformer = diffusers.LatteTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        cross_attention_dim=8,
        attention_bias=True,
        sample_size=8,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        caption_channels=TEXT_WIDTH,
        video_length=2,
    )
    return _loop_case(transformer, (4, 2, 8, 8), lambda images: {"encoder_hidden_states": _texts(images)})


def _cogview3() -> Case:
    transformer = diffusers.CogView3PlusTransformer2DModel(
        in_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        out_channels=4,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=8,
        condition_dim=2,
        pos_embed_max_size=8,
        sample_size=8,
    )

    def inputs(images: int) -> dict[str, Any]:
        size = torch.full((images, 2), 64)
        sizes = {"original_size": size, "target_size": size, "crop_coords": torch.zeros_like(size)}
        return {"encoder_hidden_states": _texts(images), **sizes}

    return _loop_case(transformer, (4, 8, 8), inputs)


def _lumina_next() -> Case:
    transformer = diffusers.LuminaNextDiT2DModel(
        sample_size=8,
        hidden_size=24,
        num_layers=3,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=8,
        learn_sigma=False,
        cross_attention_dim=TEXT_WIDTH,
    )
    positions = torch.randn(8, 8, 4, generator=torch.Generator().manual_seed(1)).to(torch.complex64)

    def inputs(images: int) -> dict[str, Any]:
        text = {"encoder_hidden_states": _texts(images), "encoder_mask": torch.ones(images, TOKENS, dtype=torch.bool)}
        return {**text, "image_rotary_emb": positions, "cross_attention_kwargs": {}}

    return _loop_case(transformer, (4, 8, 8), inputs)


def _mask(images: int, suffix: str = "") -> dict[str, torch.Tensor]:
    return {f"encoder_attention_mask{suffix}": torch.ones(images, TOKENS, dtype=torch.bool)}


def _hunyuan_image() -> Case:
    transformer = diffusers.HunyuanImageTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_single_layers=2,
        num_refiner_layers=1,
        text_embed_dim=TEXT_WIDTH,
        rope_axes_dim=(4, 4),
    )
    return _loop_case(transformer, (4, 4, 4), lambda images: {"encoder_hidden_states": _texts(images), **_mask(images)})


def _hunyuan_video15() -> Case:
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_WIDTH,
        text_embed_2_dim=8,
        image_embed_dim=8,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type="t2v",
    )

    def inputs(images: int) -> dict[str, Any]:
        texts = {"encoder_hidden_states": _texts(images), "encoder_hidden_states_2": _texts(images, 8)}
        return {**texts, **_mask(images), **_mask(images, "_2"), "image_embeds": torch.zeros(images, 3, 8)}

    return _loop_case(transformer, (4, 2, 4, 4), inputs)


_WAN: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": TEXT_WIDTH,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 3,
    "rope_max_seq_len": 32,
}


def _wan_vace() -> Case:
    """Has blocks for what it is controlled by, whose outputs others take up."""
    transformer = diffusers.WanVACETransformer3DModel(**_WAN, vace_layers=[0, 2], vace_in_channels=6)
    control = torch.randn(1, 6, 2, 8, 8, generator=torch.Generator().manual_seed(1))

    def inputs(images: int) -> dict[str, Any]:
        return {
            "encoder_hidden_states": _texts(images),
            "control_hidden_states": control.expand(images, -1, -1, -1, -1),
        }

    return _loop_case(transformer, (4, 2, 8, 8), inputs)


def _chrono_edit() -> Case:
    transformer = diffusers.ChronoEditTransformer3DModel(**_WAN)
    return _loop_case(transformer, (4, 2, 8, 8), lambda images: {"encoder_hidden_states": _texts(images)})


GENERIC_CASES: dict[str, Callable[[], Case]] = {
    "prx": _prx,
    "kandinsky5": _kandinsky5,
    "sana-video": _sana_video,
    "ovis": _ovis,
    "bria": _bria,
    "latte": _latte,
    "cogview3": _cogview3,
    "lumina-next": _lumina_next,
    "hunyuan-image": _hunyuan_image,
    "hunyuan-video15": _hunyuan_video15,
    "wan-vace": _wan_vace,
    "chrono-edit": _chrono_edit,
}
