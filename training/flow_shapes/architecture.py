"""The untrained parts of the bundled FLUX pipeline: standard diffusers and transformers classes, small configs."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.flow_shapes.world import vocabulary
from training.common import parts
from training.common.tones import RESOLUTION

__all__ = [
    "LATENT_CHANNELS",
    "LATENT_SIZE",
    "MAX_TOKENS",
    "new_autoencoder",
    "new_pooled_text_encoder",
    "new_scheduler",
    "new_text_encoder",
    "new_tokenizer",
    "new_transformer",
]

#: Longest caption in tokens, with the end token: 17 words and one end, rounded up.
MAX_TOKENS = 20
LATENT_CHANNELS = 12
LATENT_SIZE = RESOLUTION // 4
HEADS = 4
HEAD_WIDTH = 32
WIDTH = HEADS * HEAD_WIDTH
DOUBLE_BLOCKS = 4
SINGLE_BLOCKS = 8
POOLED_WIDTH = 64
#: More steps where there is much noise; 3 as in the models of this family that have a fixed shift.
SHIFT = 3.0


def new_autoencoder() -> AutoencoderKL:
    """An autoencoder from 3 x 64 x 64 pixels to 12 x 16 x 16 latents; residual branches start at zero."""
    return parts.autoencoder(LATENT_CHANNELS, shift_factor=0.0)


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the world's vocabulary that ends each caption with ``</s>``; both encoders use it."""
    return parts.tokenizer(vocabulary(), MAX_TOKENS)


def new_text_encoder(vocabulary_size: int, *, layers: int = 2) -> T5EncoderModel:
    """A T5 encoder ``(n, 20) -> (n, 20, 128)``, trained together with the transformer."""
    return parts.text_encoder(vocabulary_size, WIDTH, HEADS, layers)


def new_pooled_text_encoder(vocabulary_size: int) -> CLIPTextModel:
    """A one-layer CLIP text model ``(n, 20) -> (n, 64)``, whose pooled output is that of the end token."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=POOLED_WIDTH,
            intermediate_size=2 * POOLED_WIDTH,
            projection_dim=POOLED_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=MAX_TOKENS,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
        )
    )


def new_transformer(
    *, double_blocks: int = DOUBLE_BLOCKS, single_blocks: int = SINGLE_BLOCKS
) -> FluxTransformer2DModel:
    """A FLUX transformer over 64 image and 20 text tokens; every block starts as the identity, as in DiT."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=double_blocks,
        num_single_layers=single_blocks,
        attention_head_dim=HEAD_WIDTH,
        num_attention_heads=HEADS,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    parts.initialize(transformer)
    modulations = [block.norm.linear for block in transformer.single_transformer_blocks]
    for block in transformer.transformer_blocks:
        modulations += [block.norm1.linear, block.norm1_context.linear]
    for linear in (*modulations, transformer.norm_out.linear, transformer.proj_out):
        torch.nn.init.zeros_(linear.weight)
    return transformer


def new_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Euler steps along a rectified flow."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT, use_dynamic_shifting=False)
