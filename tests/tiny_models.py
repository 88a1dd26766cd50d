"""Whole pipelines of each family with random weights, small enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from training.shapes.architecture import new_scheduler, new_tokenizer

__all__ = [
    "TINY_PIPELINES",
    "tiny_flux_transformer",
    "tiny_pixart_transformer",
    "tiny_sd3_transformer",
    "tiny_vae",
]

_CLIP_TOKENS = 77


def tiny_pixart_transformer(**changes: Any) -> PixArtTransformer2DModel:
    """Two blocks."""
    config: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "cross_attention_dim": 16,
        "sample_size": 8,
        "caption_channels": 12,
    }
    return PixArtTransformer2DModel(**config | changes)


def tiny_flux_transformer(**changes: Any) -> FluxTransformer2DModel:
    """One double and two single blocks."""
    config: dict[str, Any] = {
        "in_channels": 16,
        "num_layers": 1,
        "num_single_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 12,
        "pooled_projection_dim": 8,
        "guidance_embeds": True,
        "axes_dims_rope": (2, 2, 4),
    }
    return FluxTransformer2DModel(**config | changes)


def tiny_sd3_transformer(**changes: Any) -> SD3Transformer2DModel:
    """As SD 3.5 medium is: a second attention in the first block, no context output of the last."""
    config: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 16,
        "pos_embed_max_size": 16,
        "dual_attention_layers": (0,),
    }
    return SD3Transformer2DModel(**config | changes)


def _pixart() -> Any:
    return PixArtAlphaPipeline(
        **_t5("tokenizer", "text_encoder", width=12),
        vae=tiny_vae(),
        transformer=tiny_pixart_transformer(),
        scheduler=new_scheduler(),
    )


def _flux() -> Any:
    return FluxPipeline(
        **_clip("tokenizer", "text_encoder", CLIPTextModel),
        **_t5("tokenizer_2", "text_encoder_2", width=12),
        vae=tiny_vae(shift_factor=0.1),
        transformer=tiny_flux_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _sd3() -> Any:
    return StableDiffusion3Pipeline(
        **_clip("tokenizer", "text_encoder", CLIPTextModelWithProjection),
        **_clip("tokenizer_2", "text_encoder_2", CLIPTextModelWithProjection),
        # As wide as both CLIP encoders together, as in the published models.
        **_t5("tokenizer_3", "text_encoder_3", width=16),
        vae=tiny_vae(shift_factor=0.1),
        transformer=tiny_sd3_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _tokenizer(length: int | None = None) -> PreTrainedTokenizerFast:
    tokenizer = new_tokenizer()
    tokenizer.model_max_length = length or tokenizer.model_max_length
    return tokenizer


def _t5(tokenizer_name: str, encoder_name: str, *, width: int) -> dict[str, Any]:
    tokenizer = _tokenizer()
    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    return {tokenizer_name: tokenizer, encoder_name: T5EncoderModel(config)}


def _clip(tokenizer_name: str, encoder_name: str, encoder: type) -> dict[str, Any]:
    tokenizer = _tokenizer(_CLIP_TOKENS)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=_CLIP_TOKENS,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return {tokenizer_name: tokenizer, encoder_name: encoder(config)}


def tiny_vae(**config: Any) -> AutoencoderKL:
    """Halves height and width."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        **config,
    )


def _random(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        torch.manual_seed(0)
        pipe = make()
        # Zero-initialised outputs would make every schedule alike.
        for parameter in pipe.transformer.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return pipe

    return made


TINY_PIPELINES = {"pixart": _random(_pixart), "flux": _random(_flux), "sd3": _random(_sd3)}
"""One maker for each family."""
