"""Measures the bundled FLUX model, and shows its pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ecad_automl.flow_shapes.classifier import AttributeClassifier, attributes_right, whole_pictures_right
from ecad_automl.flow_shapes.world import ATTRIBUTES, prompts, random_scene
from training.common.tones import RESOLUTION
from training.flow_shapes.architecture import MAX_TOKENS
from training.flow_shapes.render import render

__all__ = ["GUIDANCE", "STEPS", "draw", "grid", "measure_autoencoder", "measure_convergence", "measure_quality"]

STEPS = 28
GUIDANCE = 3.0
_BATCH = 32


@torch.no_grad()
def draw(
    pipe: Any,
    captions: Sequence[str],
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    in_two_calls: bool = False,
    seed: int = 0,
) -> Tensor:
    """One picture of each caption, from its own noise.

    Args:
        pipe: a ``FluxPipeline`` of this world.
        captions: texts.
        steps: of the sampler.
        guidance: scale.
        in_two_calls: guide by a second call without the caption in each step, not by the embedding of the scale.
        seed: the picture at place i starts from the generator of ``seed + i``.

    Returns:
        ``(n, 3, 64, 64)`` in [0, 1].
    """
    pipe.set_progress_bar_config(disable=True)
    pictures: list[Tensor] = []
    scales = {"guidance_scale": guidance}
    if in_two_calls:
        scales = {"guidance_scale": 1.0, "true_cfg_scale": guidance}
    for first in range(0, len(captions), _BATCH):
        batch = list(captions[first : first + _BATCH])
        generators = [torch.Generator().manual_seed(seed + first + place) for place in range(len(batch))]
        pictures.append(
            pipe(
                batch,
                negative_prompt=[""] * len(batch),
                **scales,
                num_inference_steps=steps,
                height=RESOLUTION,
                width=RESOLUTION,
                max_sequence_length=MAX_TOKENS,
                generator=generators,
                output_type="pt",
            ).images
        )
    return torch.cat(pictures).float()


def measure_quality(
    pipe: Any,
    classifier: AttributeClassifier,
    *,
    count: int = 192,
    guidance: float = GUIDANCE,
    in_two_calls: bool = False,
) -> dict[str, float]:
    """Shares of attributes and of whole pictures that are right on held-out captions."""
    captions = prompts("held-out", count)
    pictures = draw(pipe, captions, guidance=guidance, in_two_calls=in_two_calls)
    return _shares(attributes_right(classifier, pictures, captions))


@torch.no_grad()
def measure_autoencoder(
    autoencoder: AutoencoderKL, classifier: AttributeClassifier, *, count: int = 512, seed: int = 0
) -> dict[str, float]:
    """The same shares for renders after encoding and decoding: about the best a model can reach."""
    rng = np.random.default_rng([seed, 10])
    scenes = [random_scene(rng, "held-out") for _ in range(count)]
    chunks = torch.split(torch.from_numpy(render(scenes, rng)) * 2 - 1, _BATCH)
    decoded = torch.cat([autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample for chunk in chunks])
    return _shares(attributes_right(classifier, (decoded / 2 + 0.5).clamp(0, 1), [s.caption() for s in scenes]))


def measure_convergence(pipe: Any, *, count: int = 64) -> dict[str, float]:
    """Mean PSNR in dB between pictures of half, whole and double the steps, from the same noise."""
    captions = prompts("held-out", count)
    half, whole, double = (draw(pipe, captions, steps=steps) for steps in (STEPS // 2, STEPS, 2 * STEPS))
    return {
        f"PSNR of {STEPS} against {STEPS // 2} steps": _psnr(half, whole),
        f"PSNR of {STEPS} against {2 * STEPS} steps": _psnr(whole, double),
    }


def _psnr(one: Tensor, other: Tensor) -> float:
    errors = (one - other).square().flatten(1).mean(dim=1).clamp_min(1e-8)
    return float((-10 * torch.log10(errors)).mean())


def _shares(right: Tensor) -> dict[str, float]:
    named = right >= 0
    shares = {"whole pictures": whole_pictures_right(right), "all attributes": float(right[named].float().mean())}
    for index, name in enumerate(ATTRIBUTES):
        shares[name] = float(right[named[:, index], index].float().mean())
    return shares


def grid(pictures: Tensor, captions: Sequence[str], path: Path, *, columns: int = 4, scale: int = 3) -> None:
    """Write the pictures ``(n, 3, 64, 64)`` as a PNG file, each above its caption."""
    side, gap, line = RESOLUTION * scale, 10, 15
    font = ImageFont.load_default(size=12)
    texts = ["\n".join(textwrap.wrap(caption, side // 6)) for caption in captions]
    height = side + line * (1 + max(text.count("\n") + 1 for text in texts))
    rows = -(-len(texts) // columns)
    sheet = Image.new("RGB", (columns * (side + gap) + gap, rows * (height + gap) + gap), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        left, top = gap + place % columns * (side + gap), gap + place // columns * (height + gap)
        pixels = (picture.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        sheet.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (left, top))
        pen.multiline_text((left, top + side + 3), text, fill="black", font=font, spacing=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
