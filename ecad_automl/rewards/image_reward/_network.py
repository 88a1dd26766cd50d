"""The network: a vision transformer, a BERT that attends to its tokens, and a linear head, scaled to a reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from ecad_automl.rewards.image_reward._med_config import MedConfig

#: Mean and standard deviation of the head's outputs over the images that the authors normalize by.
_MEAN = 0.16717362830052426
_STD = 1.0333394966054072

#: Channels of one attention head of the image encoder; ViT-L has 1024 / 64 = 16 heads.
HEAD_WIDTH = 64

_VISION_LAYER_NORM_EPS = 1e-6


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the image encoder.

    Args:
        image_size: height and width of its input, in pixels.
        patch_size: height and width of a patch, in pixels.
        width: channels.
        depth: transformer blocks.
        feed_forward: channels inside a feed-forward.
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    feed_forward: int


class Network(nn.Module):
    """From pixels and token ids to rewards.

    Args:
        vision: sizes of the image encoder.
        text: sizes of the text encoder.
        head: widths of the head, from the text encoder's to 1; its layers are linear without activations between.
    """

    def __init__(self, vision: VisionSizes, text: MedConfig, head: Sequence[int]) -> None:
        super().__init__()
        self.vision = BlipVisionModel(
            BlipVisionConfig(
                hidden_size=vision.width,
                intermediate_size=vision.feed_forward,
                num_hidden_layers=vision.depth,
                num_attention_heads=vision.width // HEAD_WIDTH,
                image_size=vision.image_size,
                patch_size=vision.patch_size,
                layer_norm_eps=_VISION_LAYER_NORM_EPS,
            )
        )
        self.text = BlipTextModel(
            BlipTextConfig(
                vocab_size=text.vocab_size,
                hidden_size=text.hidden_size,
                encoder_hidden_size=vision.width,
                intermediate_size=text.intermediate_size,
                num_hidden_layers=text.num_hidden_layers,
                num_attention_heads=text.num_attention_heads,
                max_position_embeddings=text.max_position_embeddings,
                hidden_act=text.hidden_act,
                layer_norm_eps=text.layer_norm_eps,
                pad_token_id=text.pad_token_id,
                bos_token_id=None,
                is_decoder=True,  # gives it cross-attention; its self-attention looks both ways unless forward is told
            ),
            add_pooling_layer=False,
        )
        self.mlp = nn.Sequential(*(nn.Linear(*widths) for widths in pairwise(head)))

    def forward(self, pixels: Tensor, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Rewards of images for prompts.

        Args:
            pixels: ``(n, 3, image_size, image_size)``, normalized.
            token_ids: ``(n, tokens)`` int64.
            mask: ``(n, tokens)`` int64, 1 for tokens of the prompt and 0 for padding.

        Returns:
            ``(n,)`` float32.
        """
        patches = self.vision(pixel_values=pixels).last_hidden_state
        states = self.text(input_ids=token_ids, attention_mask=mask, encoder_hidden_states=patches).last_hidden_state
        output: Tensor = self.mlp(states[:, 0].float())[:, 0]
        return (output - _MEAN) / _STD
