"""A cheap problem that searches are tried on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.objective import BudgetSpentError
from ecad_automl.drift import Drift
from ecad_automl.layout import Layout, Slot
from ecad_automl.schedule import Schedule

STEPS = 10
SLOTS = [(f"blocks.{block}", component) for block in range(3) for component in ("attn1", "attn2", "ff")]
LAYOUT = Layout("Toy", tuple(Slot(block, name, macs=10**9) for block, name in SLOTS), constant_macs=10**9)
IMAGES = 4


class Toy:
    """Each computed bit adds its own worth to the reward."""

    def __init__(self, images: int) -> None:
        self.left = images
        self.asked: list[Schedule] = []
        self.points: list[tuple[float, float]] = []
        self.latents_asked: list[tuple[Schedule, int]] = []
        rng = np.random.default_rng(7)
        self._worth = rng.random((STEPS, len(LAYOUT))) ** 4
        outputs = rng.normal(size=(len(LAYOUT), STEPS, 30)).cumsum(axis=1)
        moved = ((outputs[:, :, None] - outputs[:, None]) ** 2).mean(axis=3)
        self._drift = Drift.from_moments(tuple(slot.name for slot in LAYOUT.slots), moved, (outputs**2).mean(axis=2))

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        self._pay(IMAGES)
        self.asked.append(schedule)
        self.points.append((float((schedule.effective * self._worth).sum()), schedule.gmacs))
        return self.points[-1]

    def drift(self) -> Drift:
        self._pay(IMAGES)
        return self._drift

    def latent_error(self, schedule: Schedule, images: int) -> float:
        self._pay(images)
        self.latents_asked.append((schedule, images))
        return float(((~schedule.effective) * self._worth).sum() / 100)

    def _pay(self, images: int) -> None:
        if images > self.left:
            raise BudgetSpentError
        self.left -= images

    def hypervolume(self) -> float:
        """Over no reward at the full cost, in units of the whole rectangle."""
        full = Schedule.all_compute(LAYOUT, STEPS).gmacs
        area, last = 0.0, full
        best_first: list[tuple[float, float]] = sorted(self.points, reverse=True)
        for (reward, gmacs), below in zip(best_first, [*best_first[1:], (0.0, 0.0)], strict=True):
            last = min(last, gmacs)
            area += (reward - below[0]) * (full - last)
        return area / (full * float(self._worth.sum()))


@pytest.fixture
def toy() -> Callable[[int], Toy]:
    """From a budget in images to the problem."""
    return Toy


@pytest.fixture
def distances() -> NDArray[np.float64]:
    """``(6, 6)`` distances between the outputs of six steps."""
    outputs = np.random.default_rng(3).normal(size=(6, 5)).cumsum(axis=0)
    moved: NDArray[np.float64] = ((outputs[:, None] - outputs[None]) ** 2).mean(axis=2)
    return moved
