"""Whole pipelines of more families: the transformers of the runtime's cases with text encoders and autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLQwenImage
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GlmConfig,
    GlmModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.runtime.cases import CASES
from tests.tiny_models import tiny_vae
from training.shapes.architecture import new_tokenizer

__all__ = ["TEXT_PIPELINES"]

WIDTH = 12
LONGEST = 256


def _tokenizer() -> PreTrainedTokenizerFast:
    """As of a language model: it takes templates with special marks apart, and has one for chats."""
    tokenizer = new_tokenizer()
    tokenizer.backend_tokenizer.pre_tokenizer = Whitespace()
    tokenizer.model_max_length = LONGEST
    tokenizer.chat_template = "{% for message in messages %}user {{ message['content'] }}{% endfor %}"
    return tokenizer


def _decoder_config(**changes: Any) -> dict[str, Any]:
    """Of a language model with two layers."""
    config = {
        "vocab_size": len(_tokenizer()),
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 6,
        "max_position_embeddings": 2 * LONGEST,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }
    return config | changes


def _t5_config(kind: type = T5Config, width: int = WIDTH) -> Any:
    return kind(
        vocab_size=len(_tokenizer()), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2, dropout_rate=0.0
    )


def _pipeline(
    case: str, text_encoder: nn.Module, vae: nn.Module | None = None, changes: dict[str, Any] | None = None, **more: Any
) -> Any:
    """The pipeline of a case, completed, with a transformer of another config where there are changes."""
    pipe = CASES[case]().pipe
    transformer = pipe.transformer
    if changes:
        transformer = type(transformer).from_config(dict(transformer.config) | changes)
        for parameter in transformer.parameters():
            nn.init.normal_(parameter, std=0.2)
    return type(pipe)(
        transformer=transformer.eval(),
        scheduler=pipe.scheduler,
        tokenizer=_tokenizer(),
        text_encoder=text_encoder.eval(),
        vae=(vae or tiny_vae(shift_factor=0.1)).eval(),
        **more,
    )


def _deep_vae() -> AutoencoderKL:
    """For pipelines that take it for granted that latents are an eighth as high and wide as the image."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        norm_num_groups=2,
        shift_factor=0.1,
    )


def _sana(case: str) -> Any:
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(4, 8),
        decoder_block_out_channels=(4, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
    )
    return _pipeline(case, Gemma2Model(Gemma2Config(**_decoder_config())), vae)


def _qwen_image() -> Any:
    text = _decoder_config(rope_parameters={"mrope_section": [1, 1, 1], "rope_type": "default", "rope_theta": 10000.0})
    vision = {
        "depth": 1,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_heads": 2,
        "out_hidden_size": WIDTH,
        "fullatt_block_indexes": [0],
    }
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=2,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 2,
        latents_std=[1.0] * 2,
    )
    return _pipeline("qwen-image-guided", Qwen2_5_VLForConditionalGeneration(config), vae)


def _aura_flow() -> Any:
    return _pipeline("aura-flow", UMT5EncoderModel(_t5_config(UMT5Config)))


def _chroma() -> Any:
    # Transformer inputs of 8 channels are patches of 2 x 2 latents of 2 channels, as for Qwen-Image.
    return _pipeline("chroma-guided", T5EncoderModel(_t5_config()), tiny_vae(latent_channels=2, shift_factor=0.1))


def _klein() -> Any:
    # Three of its layers, of fixed numbers, make one text embedding.
    config = Qwen3Config(**_decoder_config(hidden_size=WIDTH // 3, head_dim=2, num_hidden_layers=28))
    pipe = _pipeline("flux2-klein-guided", Qwen3ForCausalLM(config), CASES["flux2-klein-guided"]().pipe.vae)
    pipe.register_to_config(is_distilled=False)
    return pipe


def _lumina2() -> Any:
    # Room for the system prompt.
    changes = {"axes_lens": (2 * LONGEST, 16, 16)}
    return _pipeline("lumina2-guided", Gemma2Model(Gemma2Config(**_decoder_config())), _deep_vae(), changes)


def _z_image() -> Any:
    return _pipeline("zimage-guided", Qwen3Model(Qwen3Config(**_decoder_config())))


def _cogview4() -> Any:
    return _pipeline("cogview4-guided", GlmModel(GlmConfig(**_decoder_config())))


def _hunyuan_dit() -> Any:
    bert = BertConfig(
        vocab_size=len(_tokenizer()),
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
    )
    return _pipeline(
        "hunyuandit-guided",
        BertModel(bert),
        _deep_vae(),
        {"text_len": 77, "text_len_t5": LONGEST},  # to which it pads all texts
        tokenizer_2=_tokenizer(),
        text_encoder_2=T5EncoderModel(_t5_config(width=16)),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _hidream() -> Any:
    clip = CLIPTextConfig(
        vocab_size=len(_tokenizer()),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=LONGEST,
        projection_dim=5,  # of each of the two
        eos_token_id=1,
    )
    llama = LlamaConfig(**_decoder_config())
    llama._attn_implementation = "eager"  # the pipeline asks for attentions, which others do not give
    tokenizers = {f"tokenizer_{number}": _tokenizer() for number in (2, 3, 4)}
    return _pipeline(
        "hidream-guided",
        CLIPTextModelWithProjection(clip),
        tiny_vae(shift_factor=0.1, mid_block_add_attention=False),
        # Its images have the area of 128 x 128 latents, whatever is asked for.
        {"patch_size": 16, "max_resolution": (128, 128)},
        text_encoder_2=CLIPTextModelWithProjection(clip).eval(),
        text_encoder_3=T5EncoderModel(_t5_config()).eval(),
        text_encoder_4=LlamaForCausalLM(llama).eval(),
        **tokenizers,
    )


def _seeded(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        torch.manual_seed(0)
        return make()

    return made


TEXT_PIPELINES = {
    "sana": _seeded(lambda: _sana("sana-guided")),
    "sana-sprint": _seeded(lambda: _sana("sana-sprint")),
    "qwen-image": _seeded(_qwen_image),
    "aura-flow": _seeded(_aura_flow),
    "chroma": _seeded(_chroma),
    "flux2-klein": _seeded(_klein),
    "lumina2": _seeded(_lumina2),
    "z-image": _seeded(_z_image),
    "cogview4": _seeded(_cogview4),
    "hunyuan-dit": _seeded(_hunyuan_dit),
    "hidream": _seeded(_hidream),
}
"""One maker for each family."""
