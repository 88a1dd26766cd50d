"""Trains the attribute classifier on renders only, and calibrates it on renders of calibration scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ecad_automl.flow_shapes.classifier import AttributeClassifier
from ecad_automl.flow_shapes.world import ATTRIBUTES, random_scene
from ecad_automl.shapes.world import Split
from training.common.classifying import accuracies, accuracy, calibrate, logits_of
from training.common.progress import train
from training.common.tones import RESOLUTION
from training.flow_shapes.render import render

__all__ = ["held_out_accuracy", "labelled_batch", "train_classifier"]

_BATCH = 64
_LEARNING_RATE = 2e-3
_NOISE, _TONE = 0.08, 0.05


def labelled_batch(count: int, rng: np.random.Generator, split: Split) -> tuple[Tensor, Tensor]:
    """Spoiled pictures ``(count, 3, 64, 64)`` in [0, 1] and their labels ``(count, attributes)``, -1 for none."""
    scenes = [random_scene(rng, split) for _ in range(count)]
    labels = torch.tensor([scene.attributes() for scene in scenes])
    return _spoil(torch.from_numpy(render(scenes, rng)), rng), labels


def _spoil(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, noise and tone: what generated pictures have and renders lack."""

    def each(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (len(pictures), channels, 1, 1)).astype(np.float32))

    small = functional.interpolate(pictures, size=RESOLUTION // 2, mode="area")
    blurred = functional.interpolate(small, size=RESOLUTION, mode="bilinear")
    noise = torch.from_numpy(rng.standard_normal(pictures.shape, dtype=np.float32))
    # Half of the pictures stay sharp.
    spoiled = torch.lerp(pictures, blurred, each(-1, 1).clamp_min(0)) + each(0, _NOISE) * noise + each(-_TONE, _TONE, 3)
    return spoiled.clamp(0, 1)


def train_classifier(folder: Path, *, steps: int, seed: int = 0) -> AttributeClassifier:
    """Train, or go on training; the checkpoint ``classifier.pt`` lives in ``folder``."""
    torch.manual_seed(seed)
    model = AttributeClassifier().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.02)

    def step(number: int) -> dict[str, Tensor]:
        pictures, labels = labelled_batch(_BATCH, np.random.default_rng([seed, 5, number]), "train")
        with torch.autocast("cpu", torch.bfloat16):
            logits = [head.float() for head in model(pictures)]
        losses = [functional.cross_entropy(head, labels[:, i], ignore_index=-1) for i, head in enumerate(logits)]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        return {"loss": loss.detach(), "accuracy": torch.tensor(accuracy(logits, labels))}

    train("classifier", folder / "classifier.pt", {"model": model}, [optimizer], steps, step, decay_share=0.6)
    model.eval()
    calibrate(model, *labelled_batch(2048, np.random.default_rng([seed, 6]), "calibration"))
    return model


@torch.no_grad()
def held_out_accuracy(model: AttributeClassifier, *, pictures: int = 2048, seed: int = 0) -> dict[str, float]:
    """Share of right answers on clean held-out renders: by attribute, over ``all``, and of ``whole pictures``."""
    rng = np.random.default_rng([seed, 7])
    scenes = [random_scene(rng, "held-out") for _ in range(pictures)]
    labels = torch.tensor([scene.attributes() for scene in scenes])
    logits = logits_of(model, torch.from_numpy(render(scenes, rng)))
    right = torch.stack([head.argmax(-1) for head in logits], dim=1) == labels
    whole = float((right | (labels < 0)).all(1).float().mean())
    return {"whole pictures": whole, **accuracies(logits, labels, ATTRIBUTES)}
