"""Untrained parts that both bundled models have: a tokenizer, a text encoder, and an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from training.common.tones import RESOLUTION

__all__ = ["autoencoder", "initialize", "text_encoder", "tokenizer"]


def tokenizer(vocabulary: Sequence[str], max_tokens: int) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that ends each caption with ``</s>``, as T5's does."""
    words = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *vocabulary])}
    made = Tokenizer(WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", words["</s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=max_tokens,
        padding_side="right",
    )


def text_encoder(vocabulary_size: int, width: int, heads: int, layers: int = 2) -> T5EncoderModel:
    """A T5 encoder ``(n, tokens) -> (n, tokens, width)``, trained together with the transformer."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary_size,
            d_model=width,
            d_kv=width // heads,
            d_ff=2 * width,
            num_layers=layers,
            num_heads=heads,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=32,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def autoencoder(latent_channels: int, **config: Any) -> AutoencoderKL:
    """An autoencoder from 3 x 64 x 64 pixels to 16 x 16 latents; residual branches start at zero."""
    channels = (16, 16, 32)
    made = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=RESOLUTION,
        scaling_factor=1.0,
        force_upcast=False,
        mid_block_add_attention=False,
        **config,
    )
    for module in made.modules():
        if isinstance(module, ResnetBlock2D):
            nn.init.zeros_(module.conv2.weight)
    return made


def initialize(transformer: nn.Module) -> None:
    """Draw the weights of all linear layers as DiT does, in place."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
