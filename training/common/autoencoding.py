"""The loss of an autoencoder, and what makes its latents fit for diffusion."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

__all__ = ["descend", "drop_variance", "half_whiten"]

#: Brightness, red against green, yellow against blue: the color axes weigh twice, or small objects lose their color.
_OPPONENT = ((0.577, 0.577, 0.577), (1.414, -1.414, 0.0), (0.816, 0.816, -1.633))
_FLOOR = 1e-4


def descend(error: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """One optimizer step against an error ``(n, 3, h, w)`` of the reconstruction; figures to show."""
    colors = torch.einsum("nchw,dc->ndhw", error, torch.tensor(_OPPONENT))
    loss = colors.square().mean() + 0.1 * colors.abs().mean()
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    return {"loss": loss.detach(), "psnr": -10 * torch.log10(error.detach().square().mean() / 4)}


@torch.no_grad()
def drop_variance(model: AutoencoderKL) -> None:
    """Make the posterior a point: zero weights and the lowest log-variance that diffusers does not clamp."""
    assert model.quant_conv is not None and model.quant_conv.bias is not None
    channels = model.config.latent_channels
    model.quant_conv.weight[channels:] = 0.0
    model.quant_conv.bias[channels:] = -30.0


@torch.no_grad()
def half_whiten(model: AutoencoderKL, batches: Iterable[Tensor]) -> None:
    """Fold a linear map of the latent channels into the model's 1 x 1 convolutions, in place.

    With channel covariance ``U diag(v) U^T``, latents become ``U diag(v^-1/4) U^T (z - mean)``: the spread of the
    channels is halved on a log scale, so that diffusion sees every channel but spends most on those that carry most.
    ``scaling_factor`` then brings the overall variance to one. Batches are pictures ``(n, 3, 64, 64)`` in [-1, 1].
    """
    assert model.quant_conv is not None and model.post_quant_conv is not None
    chunks = [model.encode(pictures).latent_dist.mean for pictures in batches]
    latents = torch.cat(chunks).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = latents.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((latents - mean).T))
    values = values.clamp_min(values.max() * _FLOOR)
    forward = vectors @ torch.diag(values**-0.25) @ vectors.T
    backward = vectors @ torch.diag(values**0.25) @ vectors.T

    channels = len(mean)
    weight, bias = model.quant_conv.weight, model.quant_conv.bias
    weight[:channels, :, 0, 0] = (forward @ weight[:channels, :, 0, 0].double()).to(weight.dtype)
    bias[:channels] = (forward @ (bias[:channels].double() - mean)).to(bias.dtype)
    weight, bias = model.post_quant_conv.weight, model.post_quant_conv.bias
    head = weight[:, :, 0, 0].double()
    bias += (head @ mean).to(bias.dtype)
    weight[:, :, 0, 0] = (head @ backward).to(weight.dtype)
    model.register_to_config(scaling_factor=float(1.0 / ((latents - mean) @ forward.T).std()))
