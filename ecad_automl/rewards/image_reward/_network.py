"""The network, of the published checkpoint: a vision transformer, a BERT that attends to its tokens, a linear head."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

from ecad_automl.errors import RewardError
from ecad_automl.files.json_file import read_json_object

#: Mean and standard deviation of the head's outputs over the images that the authors normalize by.
_MEAN = 0.16717362830052426
_STD = 1.0333394966054072

#: Channels of one attention head of the image encoder; ViT-L has 1024 / 64 = 16 heads.
_HEAD_WIDTH = 64

#: Places of the head's linear layers; between them stand dropouts.
_HEAD_LAYERS = ("0", "2", "4", "6", "7")

_VISION = "blip.visual_encoder."
_PREFIXES = {"vision": _VISION, "text": "blip.text_encoder.", "mlp": "mlp.layers."}

#: Parts of transformers' names in the image encoder, and what the checkpoint has for them; the text encoder's are the
#: same in both.
_VISION_NAMES = {
    "embeddings.class_embedding": "cls_token",
    "embeddings.position_embedding": "pos_embed",
    "embeddings.patch_embedding": "patch_embed.proj",
    "encoder.layers": "blocks",
    "post_layernorm": "norm",
    "layer_norm": "norm",
    "self_attn.projection": "attn.proj",
    "self_attn": "attn",
}

#: Tensors of the published checkpoint that no score depends on: indices that are counted anew, and projections for the
#: contrastive loss that BLIP was trained with.
_UNUSED = {
    "blip.text_encoder.embeddings.position_ids",
    *(f"blip.{side}_proj.{kind}" for side in ("vision", "text") for kind in ("weight", "bias")),
}

_NAMED_KEYS = 5
#: Length to which every prompt is padded and cut.
TOKENS = 35


class Network(nn.Module):
    """From pixels and token ids to rewards.

    Args:
        vision: sizes of the image encoder.
        text: sizes of the text encoder.
        head: widths of the head, from the text encoder's to 1; its layers are linear without activations between.
    """

    def __init__(self, vision: BlipVisionConfig, text: MedConfig, head: Sequence[int]) -> None:
        super().__init__()
        self.vision = BlipVisionModel(vision)
        self.text = BlipTextModel(
            BlipTextConfig(
                **text.model_dump(exclude={"add_cross_attention", "position_embedding_type"}),
                encoder_hidden_size=vision.hidden_size,
                bos_token_id=None,
                is_decoder=True,  # gives it cross-attention; its self-attention looks both ways unless forward is told
            ),
            add_pooling_layer=False,
        )
        layers = (nn.Linear(*widths) for widths in pairwise(head))
        self.mlp = nn.Sequential(OrderedDict(zip(_HEAD_LAYERS, layers, strict=True)))

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


def build_network(state: Mapping[str, Tensor], text: MedConfig, source: str) -> Network:
    """A network with the weights of a checkpoint, ready to score on the CPU in the checkpoint's precision.

    Args:
        state: the tensors, in the names of the image-reward package.
        text: sizes of the text encoder; those of the image encoder and the head are those of the tensors.
        source: what the checkpoint is called in messages.

    Raises:
        RewardError: a tensor is missing, unknown or of another shape.
    """
    vision = _vision_config(state, source)
    widths = [_shape(state, f"mlp.layers.{layer}.weight", 2, source)[0] for layer in _HEAD_LAYERS[:-1]]
    with torch.device("meta"):  # weights come from the checkpoint, so none are drawn
        network = Network(vision, text, [text.hidden_size, *widths, 1])
    expected = {_published_name(name): (name, tensor.shape) for name, tensor in network.state_dict().items()}
    missing, unknown = expected.keys() - state.keys(), state.keys() - expected.keys() - _UNUSED
    faults = [
        *([f"lacks {_some(missing)}"] if missing else []),
        *([f"has {_some(unknown)}, which the network does not know"] if unknown else []),
    ]
    if faults:
        raise _error(source, " and ".join(faults))
    for published, (_, shape) in expected.items():
        if state[published].shape != shape:
            found = tuple(state[published].shape)
            raise _error(source, f"has {published} of the shape {found}, but {tuple(shape)} is expected")
    network.load_state_dict({name: state[published] for published, (name, _) in expected.items()}, assign=True)
    positions = torch.arange(text.max_position_embeddings).expand(1, -1)
    network.text.embeddings.position_ids = positions  # a buffer that no checkpoint fills
    return network.eval().requires_grad_(False)


def _published_name(name: str) -> str:
    """What the checkpoint calls a tensor of ``Network.state_dict()``."""
    part, _, rest = name.partition(".")
    if part == "vision":
        for ours, theirs in _VISION_NAMES.items():
            rest = rest.replace(ours, theirs)
    return _PREFIXES[part] + rest


def _vision_config(state: Mapping[str, Tensor], source: str) -> BlipVisionConfig:
    _, tokens, width = _shape(state, f"{_VISION}pos_embed", 3, source)
    patch_size = _shape(state, f"{_VISION}patch_embed.proj.weight", 4, source)[-1]
    feed_forward = _shape(state, f"{_VISION}blocks.0.mlp.fc1.weight", 2, source)[0]
    grid = math.isqrt(tokens - 1)
    if grid * grid + 1 != tokens:
        what = f"{tokens} positions in {_VISION}pos_embed; one for [CLS] and a square number for patches are expected"
        raise _error(source, f"has {what}")
    if width % _HEAD_WIDTH:
        raise _error(
            source, f"has an image encoder of {width} channels, which are no multiple of the {_HEAD_WIDTH} of a head"
        )
    blocks = [re.match(re.escape(_VISION) + r"blocks\.(\d+)\.", name) for name in state]
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=feed_forward,
        num_hidden_layers=max(int(found[1]) for found in blocks if found) + 1,
        num_attention_heads=width // _HEAD_WIDTH,
        image_size=grid * patch_size,
        patch_size=patch_size,
        layer_norm_eps=1e-6,
    )


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int, source: str) -> tuple[int, ...]:
    if name not in state:
        raise _error(source, f"lacks {name}")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions:
        raise _error(source, f"has {name} of the shape {shape}, but {dimensions} dimensions are expected")
    return shape


def _error(source: str, fault: str) -> RewardError:
    return RewardError(
        f"The checkpoint {source} {fault}; give ImageReward.pt and med_config.json of one and the same model, as its "
        "authors publish them."
    )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED_KEYS} more" if len(ordered) > _NAMED_KEYS else ""
    return ", ".join(ordered[:_NAMED_KEYS]) + more


class MedConfig(BaseModel):
    """A BERT with cross-attention, in the names of BERT's configuration; what has no effect on scores is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    add_cross_attention: Literal[True]
    hidden_act: Literal["gelu"] = "gelu"
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layer_norm_eps: PositiveFloat = 1e-12
    max_position_embeddings: int = Field(ge=TOKENS)
    num_attention_heads: PositiveInt
    num_hidden_layers: PositiveInt
    pad_token_id: int = Field(default=0, ge=0)
    position_embedding_type: Literal["absolute"] = "absolute"
    vocab_size: PositiveInt

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"a hidden_size of {self.hidden_size}, which is no multiple of its num_attention_heads, "
                f"{self.num_attention_heads}"
            )
        return self


def read_med_config(path: str | Path) -> MedConfig:
    """Read the file.

    Raises:
        FileError: there is no such file, or it is no JSON object.
        RewardError: it does not describe a BERT with cross-attention.
    """
    data = read_json_object(path, "configuration of ImageReward's text encoder")
    try:
        return MedConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise RewardError(
            f"{path} is no configuration of ImageReward's text encoder: "
            f"{': '.join([*map(str, first['loc']), first['msg']])}; give the med_config.json that lies beside "
            "ImageReward.pt."
        ) from error
