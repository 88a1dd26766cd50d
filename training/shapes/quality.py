"""Measures the bundled model: share of caption attributes right on held-out captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.models.text_to_image import default_settings
from ecad_automl.rewards.fidelity import FidelityReward
from ecad_automl.shapes.classifier import AttributeClassifier
from ecad_automl.shapes.world import ATTRIBUTES, parse_caption, prompts, random_scene
from training.shapes.render import render


def held_out_images(folder: Path, count: int, *, steps: int = 20) -> tuple[list[str], Tensor]:
    """Held-out captions and one picture of each, ``(count, 3, 64, 64)`` in [0, 1]."""
    from diffusers import PixArtAlphaPipeline

    pipe = PixArtAlphaPipeline.from_pretrained(folder)
    captions = prompts("held-out", count)
    evaluator = Evaluator(pipe, captions, [0], FidelityReward(), default_settings(pipe, "shapes"), batch_size=32)
    return captions, evaluator.generate(None, steps=steps)


@torch.no_grad()
def measure_quality(folder: Path, *, count: int = 512) -> dict[str, float]:
    """Share of caption attributes that the classifier finds in the pictures, by attribute and over ``all``."""
    captions, images = held_out_images(folder, count)
    labels = torch.tensor([parse_caption(caption).attributes() for caption in captions])
    return _shares(images, labels, folder)


@torch.no_grad()
def measure_autoencoder(folder: Path, *, count: int = 512, seed: int = 0) -> float:
    """Share of attributes that are right in renders after encoding and decoding: about the best a model can reach."""
    autoencoder = AutoencoderKL.from_pretrained(folder, subfolder="vae")
    rng = np.random.default_rng([seed, 10])
    scenes = [random_scene(rng, "held-out") for _ in range(count)]
    pictures = torch.from_numpy(render(scenes, rng)) * 2 - 1
    decoded = [
        autoencoder.decode(autoencoder.encode(chunk).latent_dist.mean).sample for chunk in torch.split(pictures, 64)
    ]
    images = (torch.cat(decoded) / 2 + 0.5).clamp(0, 1)
    return _shares(images, torch.tensor([scene.attributes() for scene in scenes]), folder)["all"]


def _shares(images: Tensor, labels: Tensor, folder: Path) -> dict[str, float]:
    logits = AttributeClassifier.load(folder / "classifier")(images)
    right = torch.stack([head.argmax(-1) for head in logits], dim=1) == labels
    named = labels >= 0
    shares = {"all": float(right[named].float().mean())}
    for index, name in enumerate(ATTRIBUTES):
        shares[name] = float(right[named[:, index], index].float().mean())
    perfect = (right | ~named).all(dim=1).float().mean()
    return {**shares, "pictures with every attribute right": float(perfect)}
