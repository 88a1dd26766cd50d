"""A cheap problem that searches are tried on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.search.objective import BudgetSpentError, Mask
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

STEPS = 10
SLOTS = [(f"blocks.{block}", component) for block in range(3) for component in ("attn1", "attn2", "ff")]
LAYOUT = Layout("Toy", tuple(Slot(block, name, macs=10**9) for block, name in SLOTS), constant_macs=10**9)
IMAGES = 4


def products_of(steps: int) -> NDArray[np.float64]:
    """``(steps, steps)`` mean products of outputs that wander off."""
    outputs = np.random.default_rng(3).normal(size=(steps, 5)).cumsum(axis=0)
    products: NDArray[np.float64] = outputs @ outputs.T / outputs.shape[1]
    return products


class Toy:
    """Each computed bit adds its own worth to the reward; extrapolated steps add a part of theirs."""

    def __init__(self, images: int) -> None:
        self.left = images
        self.asked: list[Schedule] = []
        self.masks: list[Mask] = []
        self.points: list[tuple[float, float]] = []
        self.latents_asked: list[tuple[Schedule, int]] = []
        self.repeats = 0
        self.lowest = 0.0
        rng = np.random.default_rng(7)
        self._worth = rng.random((STEPS, len(LAYOUT))) ** 4
        self._known: dict[object, tuple[float, float]] = {}

    def __call__(self, schedule: Schedule) -> tuple[float, float]:
        if schedule not in self._known:
            self._pay(IMAGES)
            self.asked.append(schedule)
        return self._told(schedule, float((schedule.effective * self._worth).sum()), schedule.gmacs)

    def predicted(self, mask: Mask) -> tuple[float, float]:
        if mask not in self._known:
            self._pay(IMAGES)
            self.masks.append(mask)
        shares = np.where(np.isin(np.arange(STEPS), mask), 1.0, 0.3)
        return self._told(mask, float((shares[:, None] * self._worth).sum()), len(mask) * LAYOUT.step_macs / 1e9)

    def _told(self, key: object, reward: float, gmacs: float) -> tuple[float, float]:
        if key in self._known:
            self.repeats += 1
            if self.repeats > 3000:
                raise BudgetSpentError
        else:
            self._known[key] = (reward, gmacs)
            self.points.append((reward, gmacs))
        return self._known[key]

    def floor(self) -> float:
        return self.lowest

    def drift(self) -> Drift:
        self._pay(IMAGES)
        rng = np.random.default_rng(5)
        outputs = rng.normal(size=(len(LAYOUT), STEPS, 5)).cumsum(axis=1)
        power = (outputs**2).mean(axis=2)
        moved = ((outputs[:, :, None] - outputs[:, None]) ** 2).mean(axis=3) / (power[:, :, None] + power[:, None])
        names = tuple(slot.name for slot in LAYOUT.slots)
        return Drift(names, moved.astype(np.float32), np.sqrt(power).astype(np.float32))

    def output_products(self) -> NDArray[np.float64]:
        self._pay(IMAGES)
        return products_of(STEPS)

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
