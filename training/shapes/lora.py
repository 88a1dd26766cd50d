"""Trains a LoRA on the bundled model: the same scenes in other colors, on the transformer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor

from ecad_automl.shapes.world import Scene, random_caption, random_scene
from training.common.progress import train
from training.shapes.architecture import MAX_TOKENS
from training.shapes.render import render

__all__ = ["add_lora", "in_other_colors", "in_usual_colors", "train_lora"]

_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
_BATCH = 32
_ENCODED = 64
_CAPTION_DROPOUT = 0.1
_LEARNING_RATE = 2e-3


def add_lora(transformer: torch.nn.Module, *, rank: int, seed: int = 0) -> None:
    """Put an untrained LoRA, which changes nothing yet, on attention and feed-forward of all blocks, in place.

    Args:
        transformer: of the bundled model.
        rank: of the update of each matrix.
        seed: of its first weights.
    """
    torch.manual_seed(seed)
    transformer.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS), transformer)


def in_other_colors(pictures: Tensor) -> Tensor:
    """Pictures ``(n, 3, h, w)`` with red, green and blue in turns: a red shape is green, a green one blue."""
    return pictures[:, [2, 0, 1]]


def in_usual_colors(pictures: Tensor) -> Tensor:
    """What :func:`in_other_colors` was given."""
    return pictures[:, [1, 2, 0]]


def train_lora(pipe: Any, folder: Path, *, steps: int, pictures: int, seed: int = 0) -> None:
    """Train, or go on training, the LoRA of a pipeline of the bundled model, in place.

    Args:
        pipe: with an adapter by :func:`add_lora`.
        folder: for its checkpoint.
        steps: number of steps in all.
        pictures: that it is trained on.
        seed: of scenes and noise.
    """
    transformer, alphas = pipe.transformer, pipe.scheduler.alphas_cumprod
    scenes, latents = _latents(pipe.vae, pictures, seed)
    parameters = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.98))

    def step(number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, 12, number])
        chosen = rng.integers(len(latents), size=_BATCH)
        dropped = rng.random(_BATCH) < _CAPTION_DROPOUT
        captions = ["" if drop else random_caption(rng, scenes[i]) for i, drop in zip(chosen, dropped, strict=True)]
        tokens = pipe.tokenizer(captions, padding="max_length", max_length=MAX_TOKENS, return_tensors="pt")
        with torch.no_grad():
            text = pipe.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        clean = latents[chosen]
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        times = torch.from_numpy((np.arange(_BATCH) + rng.random(_BATCH)) * 1000 / _BATCH).long()
        signal, spread = (share.sqrt()[:, None, None, None] for share in (alphas[times], 1 - alphas[times]))
        predicted = transformer(
            signal * clean + spread * noise,
            encoder_hidden_states=text,
            encoder_attention_mask=tokens.attention_mask,
            timestep=times,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        loss = (predicted - (signal * noise - spread * clean)).square().mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return {"loss": loss.detach()}

    adapter = torch.nn.ParameterList(parameters)
    train("LoRA", folder / "lora.pt", {"lora": adapter}, [optimizer], steps, step, decay_share=0.5)
    transformer.requires_grad_(False)


@torch.no_grad()
def _latents(autoencoder: Any, count: int, seed: int) -> tuple[list[Scene], Tensor]:
    """Training scenes and their latents ``(count, 8, 16, 16)`` in other colors."""
    rng = np.random.default_rng([seed, 11])
    scenes = [random_scene(rng, "train") for _ in range(count)]
    encoded = []
    for start in range(0, count, _ENCODED):
        pictures = in_other_colors(torch.from_numpy(render(scenes[start : start + _ENCODED], rng))) * 2 - 1
        encoded.append(autoencoder.encode(pictures).latent_dist.mean * autoencoder.config.scaling_factor)
    return scenes, torch.cat(encoded)
