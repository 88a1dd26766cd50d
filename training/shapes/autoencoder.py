"""Trains the bundled autoencoder on renders and scales its latents for diffusion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ecad_automl.shapes.world import random_scene
from training.common import autoencoding
from training.common.autoencoding import descend, drop_variance
from training.common.progress import train
from training.shapes.architecture import new_autoencoder
from training.shapes.render import render, scatter

_BATCH = 24
_LEARNING_RATE = 3e-3
_REFINE_LEARNING_RATE = 1e-3
_SCATTER_SHARE = 0.7
_SCATTER_OBJECTS = 8
_LATENT_NOISE = 0.05


def render_batch(count: int, rng: np.random.Generator) -> Tensor:
    """``(count, 3, 64, 64)`` pictures of random training scenes in [-1, 1]."""
    return torch.from_numpy(render([random_scene(rng, "train") for _ in range(count)], rng)) * 2 - 1


class _Reconstruct(nn.Module):
    """Pictures to pictures through slightly noisy latents, so that the decoder forgives errors of the diffusion."""

    def __init__(self, model: AutoencoderKL) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        assert self.model.quant_conv is not None
        assert self.model.post_quant_conv is not None
        mean, _ = self.model.quant_conv(self.model.encoder(pictures)).chunk(2, dim=1)
        noisy = mean + _LATENT_NOISE * mean.detach().std() * torch.randn_like(mean)
        decoded: Tensor = self.model.decoder(self.model.post_quant_conv(noisy))
        return decoded


def train_autoencoder(folder: Path, *, steps: int, seed: int = 0, compiled: bool = True) -> AutoencoderKL:
    """Train, or go on training, the autoencoder; its checkpoint lives in ``folder``.

    Loss: squared error and a tenth of the absolute error on opponent colors. Most steps see crowded pictures, the
    last ones scenes of the world. The posterior's variance is not trained but set to nothing.

    Args:
        folder: for ``autoencoder.pt``.
        steps: number of steps in all.
        seed: of weights and pictures.
        compiled: use ``torch.compile``: about twice as fast after a minute.
    """
    torch.manual_seed(seed)
    model = new_autoencoder().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=1e-4, betas=(0.9, 0.98))
    reconstruct = torch.compile(_Reconstruct(model)) if compiled else _Reconstruct(model)

    def step(number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, 1, number])
        if number < _SCATTER_SHARE * steps:
            pictures = torch.from_numpy(scatter(_BATCH, _SCATTER_OBJECTS, rng)) * 2 - 1
        else:
            pictures = render_batch(_BATCH, rng)
        pictures = pictures.to(memory_format=torch.channels_last)
        error = reconstruct(pictures) - pictures
        return descend(error, model, optimizer)

    train("autoencoder", folder / "autoencoder.pt", {"model": model}, [optimizer], steps, step, decay_share=0.5)
    drop_variance(model)
    return model.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)


def half_whiten(model: AutoencoderKL, *, pictures: int = 1024, seed: int = 0) -> None:
    """Half whiten the latents of random training scenes, see :func:`~training.common.autoencoding.half_whiten`."""
    rng = np.random.default_rng([seed, 2])
    autoencoding.half_whiten(model, (render_batch(64, rng) for _ in range(pictures // 64)))


def refine_decoder(folder: Path, model: AutoencoderKL, *, steps: int, seed: int = 0, compiled: bool = True) -> None:
    """Train the decoder on, in place, with the encoder as it is: latents, and all that was trained on them, stay valid.

    Args:
        folder: for ``decoder.pt``.
        model: trained and half whitened.
        steps: number of steps in all.
        seed: of the pictures.
        compiled: use ``torch.compile``.
    """
    assert model.post_quant_conv is not None
    decoder = nn.Sequential(model.post_quant_conv, model.decoder).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_REFINE_LEARNING_RATE, weight_decay=1e-4, betas=(0.9, 0.98))
    decode = torch.compile(decoder) if compiled else decoder

    def step(number: int) -> dict[str, Tensor]:
        pictures = render_batch(_BATCH, np.random.default_rng([seed, 8, number]))
        with torch.no_grad():
            latents = model.encode(pictures).latent_dist.mean
        error = decode(latents + _LATENT_NOISE * latents.std() * torch.randn_like(latents)) - pictures
        return descend(error, decoder, optimizer)

    train("decoder", folder / "decoder.pt", {"decoder": decoder}, [optimizer], steps, step, decay_share=0.7)
    decoder.eval().requires_grad_(False)
