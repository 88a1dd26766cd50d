"""Wan, LTX-Video, HunyuanVideo, CogVideoX and Mochi."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoImageToVideoPipeline,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    MochiPipeline,
    MochiTransformer3DModel,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from PIL import Image
from torch import nn
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

from tests.runtime.cases.base import TOKENS, Case

__all__ = ["VIDEO_CASES"]

TEXT_WIDTH = 16
POOLED_WIDTH = 10

# Valid tokens of the first, second and third prompt; the rest is padding, which LTX-Video and HunyuanVideo mask.
LENGTHS = (TOKENS, TOKENS - 2, TOKENS - 1)


def _random(transformer: nn.Module) -> Any:
    """Fill a transformer so that each slot changes the video."""
    torch.manual_seed(1)
    for name, parameter in transformer.named_parameters():
        # The weights of norms scale what they are given.
        norm = "norm" in name and name.endswith("weight") and parameter.ndim == 1
        nn.init.normal_(parameter, mean=float(norm), std=0.2)
    return transformer.eval()


def _texts(images: int, prefix: str = "", tokens: int = TOKENS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(prefix))
    return {f"{prefix}prompt_embeds": torch.randn(images, tokens, TEXT_WIDTH, generator=generator)}


def _masked_texts(images: int, prefix: str = "", lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    valid = torch.tensor([lengths[index % len(lengths)] for index in range(images)])
    return {**_texts(images, prefix), f"{prefix}prompt_attention_mask": torch.arange(TOKENS) < valid[:, None]}


def _wan_transformer(**changes: Any) -> Any:
    config: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 4,
        "out_channels": 4,
        "text_dim": TEXT_WIDTH,
        "freq_dim": 8,
        "ffn_dim": 16,
        "num_layers": 2,
        "rope_max_seq_len": 32,
    }
    return _random(WanTransformer3DModel(**config | changes))


def _wan_scheduler() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def _wan_case(guidance: float, *, expand_timesteps: bool = False) -> Case:
    """With ``expand_timesteps``, each token has a timestep of its own, as in Wan 2.2 with 5B parameters."""
    pipe = WanPipeline(
        transformer=_wan_transformer(),
        scheduler=_wan_scheduler(),
        expand_timesteps=expand_timesteps,
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        return {**_texts(images), **(_texts(images, "negative_") if guidance > 1 else {})}

    branches = 2 if guidance > 1 else 1
    return Case(pipe, {"guidance_scale": guidance, "num_frames": 5}, inputs, branches, branches)


def _wan_image_case() -> Case:
    """The cross-attention takes an image too, as in Wan 2.1, where all texts have 512 tokens."""
    transformer = _wan_transformer(in_channels=12, added_kv_proj_dim=24, image_dim=8)
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
    )
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2, image_size=4, patch_size=2
    )
    pipe = WanImageToVideoPipeline(
        transformer=transformer,
        scheduler=_wan_scheduler(),
        vae=vae.eval(),
        image_encoder=CLIPVisionModel(vision).eval(),
        image_processor=CLIPImageProcessor(size={"shortest_edge": 4}, crop_size={"height": 4, "width": 4}),
        **dict.fromkeys(("text_encoder", "tokenizer")),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)

    def inputs(images: int) -> dict[str, Any]:
        return {**_texts(images, tokens=512), **_texts(images, "negative_", tokens=512)}

    call = {"image": Image.fromarray(pixels), "guidance_scale": 5.0, "num_frames": 5}
    return Case(pipe, call, inputs, 2, 2)


def _ltx_case(guidance: float) -> Case:
    transformer = LTXVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=2,
        caption_channels=TEXT_WIDTH,
    )
    pipe = LTXPipeline(
        transformer=_random(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        negative = _masked_texts(images, "negative_", (1,)) if guidance > 1 else {}
        return {**_masked_texts(images), **negative}

    call = {"guidance_scale": guidance, "num_frames": 9}
    return Case(pipe, call, inputs, 1, 2 if guidance > 1 else 1, size=32)


def _hunyuan_transformer(**changes: Any) -> Any:
    config: dict[str, Any] = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "num_single_layers": 2,
        "num_refiner_layers": 2,
        "text_embed_dim": TEXT_WIDTH,
        "pooled_projection_dim": POOLED_WIDTH,
        "rope_axes_dim": (2, 2, 4),
    }
    return _random(HunyuanVideoTransformer3DModel(**config | changes))


def _hunyuan_texts(images: int, prefix: str = "", lengths: tuple[int, ...] = LENGTHS) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(prefix) + 1)
    pooled = torch.randn(images, POOLED_WIDTH, generator=generator)
    return {**_masked_texts(images, prefix, lengths), f"{prefix}pooled_prompt_embeds": pooled}


def _hunyuan_case(*, true_cfg: bool) -> Case:
    names = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    pipe = HunyuanVideoPipeline(
        transformer=_hunyuan_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        **dict.fromkeys(names),
    )

    def inputs(images: int) -> dict[str, Any]:
        return {**_hunyuan_texts(images), **(_hunyuan_texts(images, "negative_", (2,)) if true_cfg else {})}

    branches = 2 if true_cfg else 1
    return Case(pipe, {"true_cfg_scale": 2.0 if true_cfg else 1.0, "num_frames": 5}, inputs, branches, branches)


def _hunyuan_image_case() -> Case:
    """The tokens of the first frame are those of an image, and have a modulation of their own."""
    transformer = _hunyuan_transformer(guidance_embeds=False, image_condition_type="token_replace")
    torch.manual_seed(0)
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        norm_num_groups=2,
        mid_block_add_attention=False,
    )
    names = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "image_processor")
    pipe = HunyuanVideoImageToVideoPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        vae=vae.eval(),
        **dict.fromkeys(names),
    )

    def inputs(images: int) -> dict[str, Any]:
        pixels = torch.rand(images, 3, 16, 32, generator=torch.Generator().manual_seed(0))
        return {"image": pixels, **_hunyuan_texts(images), **_hunyuan_texts(images, "negative_", (2,))}

    return Case(pipe, {"true_cfg_scale": 2.0, "num_frames": 5}, inputs, 2, 2)


def _cogvideox_case(guidance: float, scheduler: type, **changes: Any) -> Case:
    config: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": TEXT_WIDTH,
        "num_layers": 3,
        "sample_width": 4,
        "sample_height": 2,
        "sample_frames": 5,
        "max_text_seq_length": TOKENS,
    }
    pipe = CogVideoXPipeline(
        transformer=_random(CogVideoXTransformer3DModel(**config | changes)),
        scheduler=scheduler(
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
        ),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        return {**_texts(images), **(_texts(images, "negative_") if guidance > 1 else {})}

    call = {"guidance_scale": guidance, "num_frames": 5, "max_sequence_length": TOKENS}
    return Case(pipe, call, inputs, 1, 2 if guidance > 1 else 1)


def _without_warnings(module: nn.Module) -> None:
    """Mochi computes its positions in float32 autocast, of which PyTorch warns on the CPU."""
    forward = module.forward

    def quiet(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="In CPU autocast")
            return forward(*args, **kwargs)

    module.forward = quiet


def _mochi_case(guidance: float) -> Case:
    transformer = MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        pooled_projection_dim=8,
        in_channels=4,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=8,
        max_sequence_length=TOKENS,
    )
    _without_warnings(transformer.rope)
    pipe = MochiPipeline(
        transformer=_random(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        # Padding is left out of the attention and not masked in it, so MACs depend on the length of each prompt.
        # An empty prompt has no valid token at all.
        negative = _masked_texts(images, "negative_", (0,)) if guidance > 1 else {}
        return {**_masked_texts(images, lengths=(TOKENS - 1,)), **negative}

    return Case(pipe, {"guidance_scale": guidance, "num_frames": 7}, inputs, 1, 2 if guidance > 1 else 1)


VIDEO_CASES: dict[str, Callable[[], Case]] = {
    "wan-guided": lambda: _wan_case(5.0),
    "wan-unguided": lambda: _wan_case(1.0, expand_timesteps=True),
    "wan-image": _wan_image_case,
    "ltx-guided": lambda: _ltx_case(3.0),
    "ltx-unguided": lambda: _ltx_case(1.0),
    "hunyuanvideo": lambda: _hunyuan_case(true_cfg=False),
    "hunyuanvideo-true-cfg": lambda: _hunyuan_case(true_cfg=True),
    "hunyuanvideo-image": _hunyuan_image_case,
    "cogvideox-guided": lambda: _cogvideox_case(6.0, CogVideoXDDIMScheduler),
    "cogvideox-unguided": lambda: _cogvideox_case(
        1.0, CogVideoXDPMScheduler, use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False
    ),
    "mochi-guided": lambda: _mochi_case(4.5),
    "mochi-unguided": lambda: _mochi_case(1.0),
}
