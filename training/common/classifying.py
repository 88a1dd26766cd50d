"""Judging and calibrating classifiers of several attributes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecad_automl.flow_shapes.classifier import AttributeClassifier as FlowShapesClassifier
from ecad_automl.shapes.classifier import AttributeClassifier as ShapesClassifier

__all__ = ["accuracies", "accuracy", "calibrate", "logits_of"]

Classifier = ShapesClassifier | FlowShapesClassifier


def accuracy(logits: list[Tensor], labels: Tensor) -> float:
    """Share of right answers, over all heads ``(n, values)`` and labels ``(n, heads)``, -1 for none."""
    right = torch.stack([head.argmax(-1) for head in logits], dim=1) == labels
    return float(right[labels >= 0].float().mean())


@torch.no_grad()
def logits_of(model: nn.Module, pictures: Tensor) -> list[Tensor]:
    """What each head says of pictures ``(n, 3, 64, 64)``."""
    return [torch.cat(parts) for parts in zip(*(model(part) for part in torch.split(pictures, 256)), strict=True)]


@torch.no_grad()
def calibrate(model: Classifier, pictures: Tensor, labels: Tensor) -> None:
    """Choose each head's temperature by the likelihood of pictures that were not trained on, from 0.2 to 4."""
    model.temperatures.fill_(1.0)
    logits = logits_of(model, pictures)
    grid = torch.logspace(-0.7, 0.6, 66)
    for i, head in enumerate(logits):
        losses = torch.stack([functional.cross_entropy(head / t, labels[:, i], ignore_index=-1) for t in grid])
        model.temperatures[i] = grid[int(losses.argmin())]


def accuracies(logits: list[Tensor], labels: Tensor, attributes: Iterable[str]) -> dict[str, float]:
    """Share of right answers over ``all`` and by attribute."""
    of_each = {name: accuracy([logits[i]], labels[:, i : i + 1]) for i, name in enumerate(attributes)}
    return {"all": accuracy(logits, labels), **of_each}
