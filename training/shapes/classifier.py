"""Trains the attribute classifier on renders only, and calibrates it on held-out renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ecad_automl.shapes.classifier import AttributeClassifier
from ecad_automl.shapes.world import ATTRIBUTES, Split, random_scene
from training.common.classifying import accuracies, accuracy, calibrate, logits_of
from training.common.progress import train
from training.shapes.render import render

_BATCH = 96
_LEARNING_RATE = 1.5e-3


def labelled_batch(count: int, rng: np.random.Generator, split: Split) -> tuple[Tensor, Tensor]:
    """Spoiled pictures ``(count, 3, 64, 64)`` in [0, 1] and their labels ``(count, attributes)``, -1 for none."""
    scenes = [random_scene(rng, split) for _ in range(count)]
    pictures = torch.from_numpy(render(scenes, rng))
    labels = torch.tensor([scene.attributes() for scene in scenes])
    return _spoil(pictures, rng), labels


def _spoil(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur, noise and tone: what generated pictures have and renders lack."""
    blurred = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = torch.from_numpy(rng.uniform(0, 1, (len(pictures), 1, 1, 1)).astype(np.float32))
    blur = blur * torch.from_numpy(rng.random((len(pictures), 1, 1, 1)) < 0.5)
    noise = torch.from_numpy(rng.standard_normal(pictures.shape, dtype=np.float32))
    level = torch.from_numpy(rng.uniform(0, 0.08, (len(pictures), 1, 1, 1)).astype(np.float32))
    tone = torch.from_numpy(rng.uniform(-0.05, 0.05, (len(pictures), 3, 1, 1)).astype(np.float32))
    return (pictures + blur * (blurred - pictures) + level * noise + tone).clamp(0, 1)


def train_classifier(folder: Path, *, steps: int, seed: int = 0) -> AttributeClassifier:
    """Train, or go on training; the checkpoint ``classifier.pt`` lives in ``folder``."""
    torch.manual_seed(seed)
    model = AttributeClassifier().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.02)

    def step(number: int) -> dict[str, Tensor]:
        pictures, labels = labelled_batch(_BATCH, np.random.default_rng([seed, 5, number]), "train")
        logits = model(pictures)
        losses = [functional.cross_entropy(head, labels[:, i], ignore_index=-1) for i, head in enumerate(logits)]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        return {"loss": loss.detach(), "accuracy": torch.tensor(accuracy(logits, labels))}

    train("classifier", folder / "classifier.pt", {"model": model}, [optimizer], steps, step, decay_share=0.6)
    model.eval()
    calibrate(model, *labelled_batch(2048, np.random.default_rng([seed, 6]), "calibration"))
    return model


@torch.no_grad()
def held_out_accuracy(model: AttributeClassifier, *, pictures: int = 2048, seed: int = 0) -> dict[str, float]:
    """Share of right answers on clean held-out renders, by attribute and over ``all``."""
    rng = np.random.default_rng([seed, 7])
    scenes = [random_scene(rng, "held-out") for _ in range(pictures)]
    labels = torch.tensor([scene.attributes() for scene in scenes])
    return accuracies(logits_of(model, torch.from_numpy(render(scenes, rng))), labels, ATTRIBUTES)
