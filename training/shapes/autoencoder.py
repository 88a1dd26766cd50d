"""Trains the bundled autoencoder on renders and scales its latents for diffusion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ecad_automl.shapes.world import random_scene
from training.shapes.architecture import new_autoencoder
from training.shapes.progress import train
from training.shapes.render import render, scatter

_BATCH = 24
_LEARNING_RATE = 3e-3
_REFINE_LEARNING_RATE = 1e-3
_SCATTER_SHARE = 0.7
_SCATTER_OBJECTS = 8
_LATENT_NOISE = 0.05
#: Brightness, red against green, yellow against blue: the color axes weigh twice, or small objects lose their color.
_OPPONENT = ((0.577, 0.577, 0.577), (1.414, -1.414, 0.0), (0.816, 0.816, -1.633))


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
        return _descend(error, model, optimizer)

    train("autoencoder", folder / "autoencoder.pt", {"model": model}, [optimizer], steps, step, decay_share=0.5)
    _drop_variance(model)
    return model.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)


def _descend(error: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """One optimizer step against an error ``(n, 3, h, w)`` of the reconstruction; figures to show."""
    colors = torch.einsum("nchw,dc->ndhw", error, torch.tensor(_OPPONENT))
    loss = colors.square().mean() + 0.1 * colors.abs().mean()
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    return {"loss": loss.detach(), "psnr": -10 * torch.log10(error.detach().square().mean() / 4)}


@torch.no_grad()
def _drop_variance(model: AutoencoderKL) -> None:
    """Make the posterior a point: zero weights and the lowest log-variance that diffusers does not clamp."""
    assert model.quant_conv is not None and model.quant_conv.bias is not None
    channels = model.config.latent_channels
    model.quant_conv.weight[channels:] = 0.0
    model.quant_conv.bias[channels:] = -30.0


@torch.no_grad()
def half_whiten(model: AutoencoderKL, *, pictures: int = 1024, seed: int = 0) -> None:
    """Fold a linear map of the latent channels into the model's 1 x 1 convolutions, in place.

    With channel covariance ``U diag(v) U^T``, latents become ``U diag(v^-1/4) U^T (z - mean)``: the spread of the
    channels is halved on a log scale, so that diffusion sees every channel but spends most on those that carry most.
    ``scaling_factor`` then brings the overall variance to one.
    """
    rng = np.random.default_rng([seed, 2])
    chunks = [model.encode(render_batch(64, rng)).latent_dist.mean for _ in range(pictures // 64)]
    latents = torch.cat(chunks).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = latents.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((latents - mean).T))
    values = values.clamp_min(values.max() * 1e-4)
    forward = vectors @ torch.diag(values**-0.25) @ vectors.T
    backward = vectors @ torch.diag(values**0.25) @ vectors.T

    channels = len(mean)
    assert model.quant_conv is not None and model.post_quant_conv is not None
    weight, bias = model.quant_conv.weight, model.quant_conv.bias
    assert bias is not None
    head = weight[:channels, :, 0, 0].double()
    weight[:channels, :, 0, 0] = (forward @ head).to(weight.dtype)
    bias[:channels] = (forward @ (bias[:channels].double() - mean)).to(bias.dtype)
    weight, bias = model.post_quant_conv.weight, model.post_quant_conv.bias
    assert bias is not None
    head = weight[:, :, 0, 0].double()
    bias += (head @ mean).to(bias.dtype)
    weight[:, :, 0, 0] = (head @ backward).to(weight.dtype)

    spread = ((latents - mean) @ forward.T).std()
    model.register_to_config(scaling_factor=float(1.0 / spread))


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
        return _descend(error, decoder, optimizer)

    train("decoder", folder / "decoder.pt", {"decoder": decoder}, [optimizer], steps, step, decay_share=0.7)
    decoder.eval().requires_grad_(False)
