"""Measures the bundled model: share of caption attributes right on held-out captions."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ecad_automl.evaluation import Evaluator
from ecad_automl.models.loading import default_settings
from ecad_automl.rewards.fidelity import FidelityReward
from ecad_automl.shapes.classifier import AttributeClassifier
from ecad_automl.shapes.world import ATTRIBUTES, parse_caption, prompts


def held_out_images(folder: Path, count: int, *, steps: int = 20) -> tuple[list[str], Tensor]:
    """Held-out captions and one picture of each, ``(count, 3, 64, 64)`` in [0, 1]."""
    from diffusers import PixArtAlphaPipeline

    pipe = PixArtAlphaPipeline.from_pretrained(folder)
    captions = prompts("held-out", count)
    evaluator = Evaluator(pipe, captions, [0], FidelityReward(), default_settings(pipe, bundled=True), batch_size=32)
    return captions, evaluator.generate(None, steps=steps)


@torch.no_grad()
def measure_quality(folder: Path, *, count: int = 512) -> dict[str, float]:
    """Share of caption attributes that the classifier finds in the pictures, by attribute and over ``all``."""
    captions, images = held_out_images(folder, count)
    labels = torch.tensor([parse_caption(caption).attributes() for caption in captions])
    logits = AttributeClassifier.load(folder / "classifier")(images)
    right = torch.stack([head.argmax(-1) for head in logits], dim=1) == labels
    named = labels >= 0
    shares = {"all": float(right[named].float().mean())}
    for index, name in enumerate(ATTRIBUTES):
        shares[name] = float(right[named[:, index], index].float().mean())
    perfect = (right | ~named).all(dim=1).float().mean()
    return {**shares, "pictures with every attribute right": float(perfect)}
