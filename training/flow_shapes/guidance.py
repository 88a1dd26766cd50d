"""Distils classifier-free guidance into an embedding of its scale (Meng et al. 2023, arXiv 2210.03142), as FLUX.1-dev.

The student begins as the trained transformer with an embedding of the guidance scale that adds nothing. It learns to
give in one call what its teacher gives in two.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor
from torch.nn.attention import sdpa_kernel

from training.common.optimizing import update_average
from training.common.progress import train
from training.flow_shapes.architecture import new_tokenizer
from training.flow_shapes.diffusion import (
    ATTENTION,
    LatentSet,
    TextToVelocity,
    draw_batch,
    new_optimizers,
    noise_levels,
)

__all__ = ["distil_guidance", "with_guidance_embedding", "without_guidance_embedding"]

#: Scales that the student learns; 1 is no guidance, which guidance by two calls starts from.
SCALES = (1.0, 5.0)
_UNGUIDED_SHARE = 0.2
_BATCH = 48
_LEARNING_RATE = 4e-4
_DECAY_SHARE = 0.7
_EMA = 0.99


def with_guidance_embedding(transformer: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """The same transformer with an embedding of the guidance scale, which gives nothing yet."""
    config = {**transformer.config, "guidance_embeds": True}
    guided = FluxTransformer2DModel.from_config(config)
    missing, unexpected = guided.load_state_dict(transformer.state_dict(), strict=False)
    assert not unexpected
    assert all(name.startswith("time_text_embed.guidance_embedder") for name in missing)
    last = guided.time_text_embed.guidance_embedder.linear_2
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    return guided


@torch.no_grad()
def without_guidance_embedding(transformer: FluxTransformer2DModel) -> FluxTransformer2DModel:
    """The transformer as it is at a guidance scale of 1, without an embedding of it."""
    plain = FluxTransformer2DModel.from_config({**transformer.config, "guidance_embeds": False})
    state = {k: v.float() for k, v in transformer.state_dict().items() if "guidance_embedder" not in k}
    plain.load_state_dict(state)
    embed = transformer.time_text_embed
    # The pipeline's scales are multiplied by 1,000, as timesteps are.
    unguided = embed.guidance_embedder(embed.time_proj(torch.tensor([1000.0])).to(transformer.dtype))
    plain.time_text_embed.timestep_embedder.linear_2.bias += unguided[0].float()
    return plain


def distil_guidance(
    folder: Path, model: TextToVelocity, data: LatentSet, *, steps: int, seed: int = 0, compiled: bool = True
) -> TextToVelocity:
    """Train, or go on training, a transformer whose guidance is an argument; text encoders stay as they are.

    Args:
        folder: for ``guidance.pt``.
        model: the teacher.
        data: latents and captions.
        steps: number of steps in all.
        seed: of the batches.
        compiled: use ``torch.compile``.

    Returns:
        The moving average of the student.
    """
    teacher = model.eval().requires_grad_(False)
    torch.manual_seed(seed)
    student = copy.deepcopy(teacher)
    student.transformer = with_guidance_embedding(teacher.transformer).train().requires_grad_(True)
    average = copy.deepcopy(student).requires_grad_(False).eval()
    optimizers = new_optimizers(student, _LEARNING_RATE)
    tokenizer = new_tokenizer()
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids
    if compiled:
        student.transformer.compile()
        teacher.transformer.compile()

    def step(number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng([seed, 9, number])
        clean, tokens = draw_batch(data, tokenizer, _BATCH, rng)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        levels = noise_levels(_BATCH, rng)
        low, high = SCALES
        scales = torch.from_numpy(rng.uniform(low, high, _BATCH).astype(np.float32))
        scales[torch.from_numpy(rng.random(_BATCH) < _UNGUIDED_SHARE)] = 1.0
        noisy = torch.lerp(clean, noise, levels[:, None, None])
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(ATTENTION):
            with torch.no_grad():
                told = teacher(noisy, levels, tokens).float()
                untold = teacher(noisy, levels, empty.expand(_BATCH, -1)).float()
            predicted = student(noisy, levels, tokens, scales).float()
        loss = (predicted - torch.lerp(untold, told, scales[:, None, None])).square().mean()
        student.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(student.transformer.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        update_average(average, student, min(_EMA, (1 + number) / (10 + number)))
        return {"loss": loss.detach(), "gradient": norm}

    modules = {"student": student.transformer, "average": average.transformer}
    train("guidance", folder / "guidance.pt", modules, optimizers, steps, step, decay_share=_DECAY_SHARE)
    return average
