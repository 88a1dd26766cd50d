"""Made-up outputs of both guidance branches, with the drift and the forecasts of them."""

from __future__ import annotations

import numpy as np

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from tests.schedules.test_forecast import LAYOUT, outputs


def branches(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The transformer's output with the prompt, and the difference to the one without: each ``(steps, elements)``."""
    x = outputs(seed)
    return x[-1], 0.3 * x[0]


def drift_of_branches(seed: int = 0) -> Drift:
    """Its output is the conditional one."""
    x = outputs(seed)
    x[-1], difference = branches(seed)
    rows = np.concatenate([x, difference[None]])
    moved, power = ((rows[:, :, None] - rows[:, None]) ** 2).mean(axis=-1), (rows**2).mean(axis=-1)
    slots = tuple(slot.name for slot in LAYOUT.slots)
    return Drift.from_moments(slots, moved[:-1], power[:-1], guidance=(moved[-1], power[-1]))


def guided_forecasts(seed: int = 0) -> Forecasts:
    return Forecasts(drift_of_branches(seed), LAYOUT.component_index)
