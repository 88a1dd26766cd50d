"""Small CLIP checkpoints with random weights, in the format of transformers and in that of open_clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

__all__ = ["open_clip_state", "save_clip", "tiny_tokenizer"]

SIZE = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,"


def tiny_tokenizer() -> CLIPTokenizer:
    """Of letters, and "the" in one piece."""
    pieces = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[("t", "h"), ("th", "e</w>")], model_max_length=77)


def save_clip(folder: Path, *, seed: int = 5, processor: bool = True, act: str = "quick_gelu") -> CLIPModel:
    """Write a checkpoint, and give its model."""
    tokenizer = tiny_tokenizer()
    config = _config(len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, act)
    model = _random(CLIPModel(config), seed)
    model.save_pretrained(folder)
    if processor:
        images = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
        CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return model


def open_clip_state(width: int = 160, text_width: int = 128, embed: int = 24, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under open_clip's names for heads of 80 and 64 channels, patches of 8 pixels, two layers each."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.1

    words = len(tiny_tokenizer())
    state = {
        "positional_embedding": random(77, text_width),
        "text_projection": random(text_width, embed),
        "logit_scale": torch.tensor(4.0),
        "token_embedding.weight": random(words, text_width),
        "visual.class_embedding": random(width),
        "visual.positional_embedding": random(1 + (SIZE // 8) ** 2, width),
        "visual.proj": random(width, embed),
        "visual.conv1.weight": random(width, 3, 8, 8),
    }
    for prefix, channels in (("", text_width), ("visual.", width)):
        for layer in range(2):
            block = f"{prefix}transformer.resblocks.{layer}"
            state[f"{block}.attn.in_proj_weight"] = random(3 * channels, channels)
            state[f"{block}.attn.in_proj_bias"] = random(3 * channels)
            state[f"{block}.attn.out_proj.weight"] = random(channels, channels)
            state[f"{block}.attn.out_proj.bias"] = random(channels)
            state[f"{block}.mlp.c_fc.weight"] = random(2 * channels, channels)
            state[f"{block}.mlp.c_fc.bias"] = random(2 * channels)
            state[f"{block}.mlp.c_proj.weight"] = random(channels, 2 * channels)
            state[f"{block}.mlp.c_proj.bias"] = random(channels)
    norms = [("ln_final", text_width), ("visual.ln_pre", width), ("visual.ln_post", width)]
    for prefix, channels in (("", text_width), ("visual.", width)):
        norms += [(f"{prefix}transformer.resblocks.{layer}.ln_{norm}", channels) for layer in (0, 1) for norm in (1, 2)]
    for name, channels in norms:
        state[f"{name}.weight"] = 1 + random(channels)
        state[f"{name}.bias"] = random(channels)
    return state


def _config(words: int, begin: int, end: int, act: str) -> CLIPConfig:
    shared: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 8,
        "hidden_act": act,
    }
    return CLIPConfig(
        text_config={**shared, "vocab_size": words, "bos_token_id": begin, "eos_token_id": end},
        vision_config={**shared, "image_size": SIZE, "patch_size": 8},
        projection_dim=8,
    )


def _random(model: CLIPModel, seed: int) -> CLIPModel:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name != "logit_scale":
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return model.eval()
