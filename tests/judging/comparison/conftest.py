from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from ecad_automl.judging.comparison import Judge, Sample
from ecad_automl.models import model_layout
from ecad_automl.rewards import Weights, load_reward
from ecad_automl.schedules.schedule import Schedule

PROMPTS = ("a large solid red circle", "a small hollow blue square", "a cross", "a striped cross", "a square")


class Brightness:
    """The mean of all pixels; notes what it was asked."""

    name = "brightness"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        self.asked.append(len(images))
        return images.double().mean(dim=(1, 2, 3)).numpy()


class ColorFeatures:
    """Mean of each color."""

    resize = "none"
    weights = (Weights("no file", "0" * 64),)

    def features(self, images: torch.Tensor) -> Any:
        return images.mean(dim=(2, 3)).numpy()


@dataclass
class Noted:
    """An observer that remembers."""

    updates: list[tuple[int, int, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def update(self, done: int, total: int, text: str) -> None:
        self.updates.append((done, total, text))

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def sample() -> Sample:
    return Sample(PROMPTS, (0, 7))


@pytest.fixture
def judge() -> Judge:
    return Judge({"brightness": Brightness(), "fidelity": load_reward("fidelity")}, {"fid": ColorFeatures()}, True)


def every(model: Any, interval: int) -> dict[str, Schedule]:
    """Computes everything at every so many steps."""
    layout = model_layout(model)
    bits = np.zeros((model.settings.steps, len(layout)), dtype=bool)
    bits[::interval] = True
    return {f"every-{interval}": Schedule(layout, bits)}
