"""Small checkpoints of ImageReward in its package's own layout, with random weights that any version draws alike."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["QUICK", "VOCABULARY", "Sizes", "med_config", "published_state", "write_folder", "write_words"]

VOCABULARY = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *string.digits,
    *string.ascii_lowercase,
    *string.punctuation,
    *(f"##{character}" for character in string.digits + string.ascii_lowercase),
    *("cat", "red", "blue", "circle", "square", "large", "small", "##ed", "##ing", "京", "very", "long", "prompt"),
)

_PATCH = 16
_HEAD_LAYERS = (0, 2, 4, 6, 7)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model; the image encoder has heads of 64 channels."""

    width: int = 64
    depth: int = 2
    image_size: int = 224
    text_width: int = 32
    text_depth: int = 2
    text_heads: int = 2
    text_inner: int = 64
    positions: int = 40
    eps: float = 1e-12
    head: tuple[int, int, int, int, int] = (1024, 128, 64, 16, 1)


#: For images of 32 pixels, where published sizes are not what is tested.
QUICK = Sizes(image_size=32, head=(12, 10, 8, 4, 1))


def med_config(sizes: Sizes) -> dict[str, Any]:
    """What ``med_config.json`` holds: as published, but for the sizes."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": sizes.text_width,
        "initializer_range": 0.02,
        "intermediate_size": sizes.text_inner,
        "layer_norm_eps": sizes.eps,
        "max_position_embeddings": sizes.positions,
        "model_type": "bert",
        "num_attention_heads": sizes.text_heads,
        "num_hidden_layers": sizes.text_depth,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY) + 2,  # [DEC] and [ENC]
        "encoder_width": 768,  # the package puts the image encoder's in its place
        "add_cross_attention": True,
    }


def published_state(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """The checkpoint's tensors, drawn so that every part of the network matters to the reward."""
    rng = np.random.default_rng(seed)
    state = {name: torch.from_numpy(_draw(name, shape, rng)) for name, shape in _shapes(sizes).items()}
    positions = torch.arange(sizes.positions).expand(1, -1).clone()
    return state | {"blip.text_encoder.embeddings.position_ids": positions}


def write_folder(folder: Path, sizes: Sizes, seed: int = 0) -> Path:
    """``ImageReward.pt`` and ``med_config.json`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(published_state(sizes, seed), folder / "ImageReward.pt")
    (folder / "med_config.json").write_text(json.dumps(med_config(sizes), indent=2))
    return folder


def write_words(folder: Path) -> Path:
    """A small vocabulary in the place of BERT's."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


def _shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width, text = sizes.width, sizes.text_width
    shapes: dict[str, tuple[int, ...]] = {
        "blip.visual_encoder.cls_token": (1, 1, width),
        "blip.visual_encoder.pos_embed": (1, (sizes.image_size // _PATCH) ** 2 + 1, width),
        "blip.visual_encoder.patch_embed.proj.weight": (width, 3, _PATCH, _PATCH),
        "blip.visual_encoder.patch_embed.proj.bias": (width,),
        **_norm("blip.visual_encoder.norm", width),
        "blip.text_encoder.embeddings.word_embeddings.weight": (len(VOCABULARY) + 2, text),
        "blip.text_encoder.embeddings.position_embeddings.weight": (sizes.positions, text),
        **_norm("blip.text_encoder.embeddings.LayerNorm", text),
        **_linear("blip.vision_proj", width, 256),
        **_linear("blip.text_proj", text, 256),
    }
    for number in range(sizes.depth):
        block = f"blip.visual_encoder.blocks.{number}"
        shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.attn.qkv", width, 3 * width) | _linear(f"{block}.attn.proj", width, width)
        shapes |= _linear(f"{block}.mlp.fc1", width, 4 * width) | _linear(f"{block}.mlp.fc2", 4 * width, width)
    for number in range(sizes.text_depth):
        layer = f"blip.text_encoder.encoder.layer.{number}"
        for attention, inputs in (("attention", text), ("crossattention", width)):
            shapes |= _linear(f"{layer}.{attention}.self.query", text, text)
            shapes |= _linear(f"{layer}.{attention}.self.key", inputs, text)
            shapes |= _linear(f"{layer}.{attention}.self.value", inputs, text)
            shapes |= _linear(f"{layer}.{attention}.output.dense", text, text)
            shapes |= _norm(f"{layer}.{attention}.output.LayerNorm", text)
        shapes |= _linear(f"{layer}.intermediate.dense", text, sizes.text_inner)
        shapes |= _linear(f"{layer}.output.dense", sizes.text_inner, text) | _norm(f"{layer}.output.LayerNorm", text)
    for place, inputs, outputs in zip(_HEAD_LAYERS, (text, *sizes.head), sizes.head, strict=False):
        shapes |= _linear(f"mlp.layers.{place}", inputs, outputs)
    return shapes


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    drawn = rng.standard_normal(shape)
    if "norm" in name.lower() and name.endswith("weight"):
        drawn = 1 + 0.2 * drawn
    elif name.endswith(("bias", "cls_token", "pos_embed")) or "embeddings" in name:
        drawn *= 0.2
    else:
        drawn *= 1.5 / np.sqrt(np.prod(shape[1:]))
    return drawn.astype(np.float32)
