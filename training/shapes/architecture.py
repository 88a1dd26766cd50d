"""The untrained parts of the bundled pipeline: standard diffusers and transformers classes with small configs."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from diffusers.models.resnet import ResnetBlock2D
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from ecad_automl.shapes.world import vocabulary
from training.shapes.render import RESOLUTION

#: Longest caption in tokens, with the end token: 16 words and one end, rounded up.
__all__ = ["new_autoencoder", "new_scheduler", "new_text_encoder", "new_tokenizer", "new_transformer"]

MAX_TOKENS = 20
LATENT_CHANNELS = 8
LATENT_SIZE = RESOLUTION // 4
BLOCKS = 8
WIDTH = 128


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the world's vocabulary that ends each caption with ``</s>``, as T5's does."""
    words = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *vocabulary()])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", words["</s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
        padding_side="right",
    )


def new_text_encoder(vocabulary_size: int) -> T5EncoderModel:
    """A two-layer T5 encoder, trained together with the transformer."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary_size,
            d_model=WIDTH,
            d_kv=32,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=32,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def new_autoencoder() -> AutoencoderKL:
    """An autoencoder from 3 x 64 x 64 pixels to 8 x 16 x 16 latents; residual branches start at zero."""
    channels = (16, 16, 32)
    autoencoder = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=RESOLUTION,
        scaling_factor=1.0,
        force_upcast=False,
        mid_block_add_attention=False,
    )
    for module in autoencoder.modules():
        if isinstance(module, ResnetBlock2D):
            torch.nn.init.zeros_(module.conv2.weight)
    return autoencoder


def new_transformer() -> PixArtTransformer2DModel:
    """A PixArt transformer of 8 blocks over 64 tokens, initialised as the PixArt authors do."""
    transformer = PixArtTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=WIDTH // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_layers=BLOCKS,
        cross_attention_dim=WIDTH,
        attention_bias=True,
        sample_size=LATENT_SIZE,
        patch_size=2,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    for module in transformer.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
    torch.nn.init.normal_(transformer.adaln_single.linear.weight, std=0.02)
    torch.nn.init.zeros_(transformer.proj_out.weight)
    for block in transformer.transformer_blocks:
        torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    return transformer


def new_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ of second order, with velocity prediction on the linear beta schedule."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
    )
