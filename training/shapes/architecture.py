"""The untrained parts of the bundled pipeline: standard diffusers and transformers classes with small configs."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.shapes.world import vocabulary
from training.common import parts
from training.common.tones import RESOLUTION

#: Longest caption in tokens, with the end token: 16 words and one end, rounded up.
__all__ = ["new_autoencoder", "new_scheduler", "new_text_encoder", "new_tokenizer", "new_transformer"]

MAX_TOKENS = 20
LATENT_CHANNELS = 8
LATENT_SIZE = RESOLUTION // 4
BLOCKS = 8
WIDTH = 128


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the world's vocabulary that ends each caption with ``</s>``, as T5's does."""
    return parts.tokenizer(vocabulary(), MAX_TOKENS)


def new_text_encoder(vocabulary_size: int) -> T5EncoderModel:
    """A two-layer T5 encoder, trained together with the transformer."""
    return parts.text_encoder(vocabulary_size, WIDTH, 4)


def new_autoencoder() -> AutoencoderKL:
    """An autoencoder from 3 x 64 x 64 pixels to 8 x 16 x 16 latents; residual branches start at zero."""
    return parts.autoencoder(LATENT_CHANNELS)


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
    parts.initialize(transformer)
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
