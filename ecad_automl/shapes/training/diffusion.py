"""Trains the bundled text encoder and transformer on latents of renders."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, PixArtTransformer2DModel
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from ecad_automl.shapes.architecture import new_scheduler, new_text_encoder, new_tokenizer, new_transformer
from ecad_automl.shapes.render import render
from ecad_automl.shapes.training.progress import Checkpoint, learning_rate_factor, step_bar
from ecad_automl.shapes.world import Scene, random_caption, random_scene

_BATCH = 64
_LEARNING_RATE = 1e-3
_CAPTION_DROPOUT = 0.1
_EMA = 0.998
_ENCODE_BATCH = 128


class LatentSet:
    """Scenes and their latents, computed once and kept in a file: ``(n, 16, 8, 8)`` float16."""

    def __init__(self, scenes: list[Scene], latents: Tensor) -> None:
        self.scenes = scenes
        self.latents = latents

    @classmethod
    def load_or_make(cls, path: Path, autoencoder: AutoencoderKL, count: int, seed: int) -> LatentSet:
        """Read the file, or render and encode ``count`` training scenes and write it; a longer file is cut short."""
        chunks: list[Tensor] = []
        if path.exists():
            chunks = list(torch.load(path, weights_only=True).split(_ENCODE_BATCH))
        wanted = -(-count // _ENCODE_BATCH)
        scenes: list[Scene] = []
        with step_bar("latents", wanted, 0) as bar, torch.no_grad():
            for index in bar:
                rng = np.random.default_rng([seed, 3, index])
                batch = [random_scene(rng, "train") for _ in range(_ENCODE_BATCH)]
                scenes += batch
                if index >= len(chunks):
                    pictures = torch.from_numpy(render(batch, rng)) * 2 - 1
                    latents = autoencoder.encode(pictures).latent_dist.mean * autoencoder.config.scaling_factor
                    chunks.append(latents.half())
                if index % 100 == 99:
                    torch.save(torch.cat(chunks), path)
        latents = torch.cat(chunks[:wanted])
        torch.save(torch.cat(chunks), path)
        return cls(scenes, latents)


class TextToLatent(nn.Module):
    """Text encoder and transformer, trained as one model."""

    def __init__(self, text_encoder: T5EncoderModel, transformer: PixArtTransformer2DModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer

    def forward(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Predicted velocity ``(n, 16, 8, 8)`` for noisy latents, timesteps ``(n,)`` and captions ``(n, tokens)``."""
        text = self.text_encoder(tokens, attention_mask=mask).last_hidden_state
        prediction: Tensor = self.transformer(
            noisy,
            encoder_hidden_states=text,
            encoder_attention_mask=mask,
            timestep=timesteps,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        return prediction


def train_diffusion(
    folder: Path,
    autoencoder: AutoencoderKL,
    *,
    steps: int,
    pictures: int,
    seed: int = 0,
) -> tuple[PreTrainedTokenizerFast, TextToLatent]:
    """Train, or go on training; the checkpoint and the latents live in ``folder``.

    Returns:
        The tokenizer and the exponential moving average of the trained weights.
    """
    tokenizer = new_tokenizer()
    data = LatentSet.load_or_make(folder / "latents.pt", autoencoder, pictures, seed)
    torch.manual_seed(seed)
    model = TextToLatent(new_text_encoder(len(tokenizer)), new_transformer())
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    checkpoint = Checkpoint(folder / "diffusion.pt")
    state = checkpoint.load()
    start = 0
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]

    def save(step: int) -> None:
        parts = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        checkpoint.save({**parts, "step": step})

    alphas = new_scheduler().alphas_cumprod
    model.train()
    predict = torch.compile(model)
    running = 1.0
    with step_bar("diffusion", steps, start) as bar:
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * learning_rate_factor(step, steps)
            rng = np.random.default_rng([seed, 4, step])
            clean, tokens, mask = _draw(data, tokenizer, rng)
            noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
            # Evenly spread timesteps, one from each of equal ranges, make the loss less noisy than independent ones.
            timesteps = torch.from_numpy((np.arange(_BATCH) + rng.random(_BATCH)) * 1000 / _BATCH).long()
            signal = alphas[timesteps].sqrt()[:, None, None, None]
            spread = (1 - alphas[timesteps]).sqrt()[:, None, None, None]
            predicted = predict(signal * clean + spread * noise, timesteps, tokens, mask)
            loss = (predicted - (signal * noise - spread * clean)).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            _update_average(average, model, min(_EMA, (1 + step) / (10 + step)))
            if step % 10 == 0:
                running += 0.05 * (float(loss.detach()) - running)
                bar.show(step, loss=running)
            if checkpoint.due():
                save(step + 1)
    save(max(start, steps))
    return tokenizer, average.eval()


def _draw(
    data: LatentSet, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    indices = rng.integers(len(data.latents), size=_BATCH)
    dropped = rng.random(_BATCH) < _CAPTION_DROPOUT
    captions = [
        "" if drop else random_caption(rng, data.scenes[index]) for index, drop in zip(indices, dropped, strict=True)
    ]
    encoded = tokenizer(captions, padding="max_length", return_tensors="pt")
    return data.latents[indices].float(), encoded.input_ids, encoded.attention_mask


@torch.no_grad()
def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    targets, sources = list(average.parameters()), [p.detach() for p in model.parameters()]
    torch._foreach_lerp_(targets, sources, 1 - decay)
