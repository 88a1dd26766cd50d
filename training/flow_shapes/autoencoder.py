"""Trains the autoencoder of the bundled FLUX model, from that of the first bundled model, and scales its latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ecad_automl.flow_shapes.world import random_scene
from ecad_automl.shapes import WEIGHTS as FIRST_MODEL
from training.common import autoencoding
from training.common.autoencoding import descend, drop_variance
from training.common.progress import train
from training.flow_shapes.architecture import new_autoencoder
from training.flow_shapes.render import render

__all__ = ["half_whiten", "refine_decoder", "render_batch", "train_autoencoder"]

_BATCH = 16
_LEARNING_RATE = 2e-3
_DECAY_SHARE = 0.5
_LATENT_NOISE = 0.05


def render_batch(count: int, rng: np.random.Generator) -> Tensor:
    """``(count, 3, 64, 64)`` pictures of random training scenes in [-1, 1]."""
    return torch.from_numpy(render([random_scene(rng, "train") for _ in range(count)], rng)) * 2 - 1


class _Decode(nn.Module):
    """Latents ``(n, c, 16, 16)`` to pictures, with a little noise: the decoder must forgive errors of the diffusion."""

    def __init__(self, model: AutoencoderKL) -> None:
        super().__init__()
        assert model.post_quant_conv is not None
        self.post_quant_conv, self.decoder = model.post_quant_conv, model.decoder

    def forward(self, latents: Tensor) -> Tensor:
        noisy = latents + _LATENT_NOISE * latents.detach().std() * torch.randn_like(latents)
        decoded: Tensor = self.decoder(self.post_quant_conv(noisy))
        return decoded


class _Reconstruct(nn.Module):
    """Pictures to pictures by way of noisy latents."""

    def __init__(self, model: AutoencoderKL) -> None:
        super().__init__()
        assert model.quant_conv is not None
        self.encoder, self.quant_conv = model.encoder, model.quant_conv
        self.decode = _Decode(model)

    def forward(self, pictures: Tensor) -> Tensor:
        mean, _ = self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)
        decoded: Tensor = self.decode(mean)
        return decoded


def train_autoencoder(folder: Path, *, steps: int, seed: int = 0, batch: int = _BATCH) -> AutoencoderKL:
    """Train, or go on training, the autoencoder; its checkpoint lives in ``folder``.

    It starts from the first model's, with more latent channels. Loss: squared error and a tenth of the absolute error
    on opponent colors. The posterior's variance is not trained but set to nothing.

    Args:
        folder: for ``autoencoder.pt``.
        steps: number of steps in all.
        seed: of new weights and pictures.
        batch: pictures per step.
    """
    torch.manual_seed(seed)
    model = new_autoencoder().train()
    _begin_with(model, AutoencoderKL.from_pretrained(FIRST_MODEL, subfolder="vae"))
    reconstruct = _Reconstruct(model)
    optimizer = torch.optim.AdamW(reconstruct.parameters(), lr=_LEARNING_RATE, weight_decay=1e-4, betas=(0.9, 0.98))

    def step(number: int) -> dict[str, Tensor]:
        pictures = render_batch(batch, np.random.default_rng([seed, 1, number]))
        with torch.autocast("cpu", torch.bfloat16):
            decoded = reconstruct(pictures)
        return descend(decoded.float() - pictures, reconstruct, optimizer)

    checkpoint = folder / "autoencoder.pt"
    train("autoencoder", checkpoint, {"model": model}, [optimizer], steps, step, decay_share=_DECAY_SHARE)
    drop_variance(model)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _begin_with(model: AutoencoderKL, first: AutoencoderKL) -> None:
    """Copy the first model's weights; channels that it lacks keep their initial weights, and start small."""
    channels, known = model.config.latent_channels, first.config.latent_channels
    mean_rows = torch.arange(known)
    rows = torch.cat([mean_rows, channels + mean_rows])
    source = first.state_dict()
    for name, value in model.state_dict().items():
        old = source[name]
        if old.shape == value.shape:
            value.copy_(old)
        elif name.startswith("encoder.conv_out"):
            value[rows] = old
        elif name == "quant_conv.weight":
            value[rows] = 0.0
            value[rows[:, None], rows] = old
        elif name == "quant_conv.bias":
            value[rows] = old
        elif name == "post_quant_conv.weight":
            value[:known] = 0.0
            value[:known, :known] = old
        elif name == "post_quant_conv.bias":
            value[:known] = old
        else:
            value[:, known:] *= 0.3
            value[:, :known] = old


def half_whiten(model: AutoencoderKL, *, pictures: int = 1024, seed: int = 0) -> None:
    """Half whiten the latents of random training scenes, see :func:`~training.common.autoencoding.half_whiten`."""
    rng = np.random.default_rng([seed, 2])
    autoencoding.half_whiten(model, (render_batch(64, rng) for _ in range(max(1, pictures // 64))))


def refine_decoder(folder: Path, model: AutoencoderKL, *, steps: int, seed: int = 0, batch: int = _BATCH) -> None:
    """Train the decoder on, in place, with the encoder as it is: latents, and all that was trained on them, stay valid.

    Args:
        folder: for ``decoder.pt``.
        model: trained and half whitened.
        steps: number of steps in all.
        seed: of the pictures.
        batch: pictures per step.
    """
    decoder = _Decode(model).requires_grad_(True).train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=_LEARNING_RATE / 2, weight_decay=1e-4, betas=(0.9, 0.98))

    def step(number: int) -> dict[str, Tensor]:
        pictures = render_batch(batch, np.random.default_rng([seed, 8, number]))
        with torch.no_grad():
            latents = model.encode(pictures).latent_dist.mean
        with torch.autocast("cpu", torch.bfloat16):
            decoded = decoder(latents)
        return descend(decoded.float() - pictures, decoder, optimizer)

    train("decoder", folder / "decoder.pt", {"decoder": decoder}, [optimizer], steps, step, decay_share=0.7)
    decoder.eval().requires_grad_(False)
