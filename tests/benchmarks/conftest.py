"""A cheap problem that searches are tried on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.search.objective import BudgetSpentError
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

STEPS = 10
SLOTS = [(f"blocks.{block}", component) for block in range(3) for component in ("attn1", "attn2", "ff")]
LAYOUT = Layout("Toy", tuple(Slot(block, name, macs=10**9) for block, name in SLOTS), constant_macs=10**9)
IMAGES = 4


def distances_of(steps: int) -> NDArray[np.float64]:
    """``(steps, steps)`` distances between outputs that wander off."""
    outputs = np.random.default_rng(3).normal(size=(steps, 5)).cumsum(axis=0)
    moved: NDArray[np.float64] = ((outputs[:, None] - outputs[None]) ** 2).mean(axis=2)
    return moved


class Toy:
    """Each computed bit adds its own worth to the reward."""

    def __init__(self, images: int) -> None:
        self.left = images
        self.asked: list[Schedule] = []
        self.points: list[tuple[float, float]] = []
        self.latents_asked: list[tuple[Schedule, int]] = []
        rng = np.random.default_rng(7)
        self._worth = rng.random((STEPS, len(LAYOUT))) ** 4

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        self._pay(IMAGES)
        self.asked.append(schedule)
        self.points.append((float((schedule.effective * self._worth).sum()), schedule.gmacs))
        return self.points[-1]

    def output_distance(self) -> NDArray[np.float64]:
        self._pay(IMAGES)
        return distances_of(STEPS)

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
