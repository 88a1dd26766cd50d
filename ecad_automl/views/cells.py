"""What pictures of a schedule draw: a cell for each step and slot, in colors that color-blind readers tell apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule


class Cell(NamedTuple):
    """A kind of cell.

    Args:
        name: for legends.
        color: on a light page.
        mark: in a terminal.
    """

    name: str
    color: str
    mark: str


#: By the values of :func:`cells`. Forecasts get darker and redder the less they are damped; blue stands apart from them
#: for every kind of color blindness (Okabe and Ito, 2008), and what is skipped is hatched.
CELLS = (
    Cell("reused", "#EEF1F4", "·"),
    Cell("forecast by 1/3", "#F7D9A0", "1"),
    Cell("forecast by 2/3", "#E69F00", "2"),
    Cell("forecast", "#A84300", "3"),
    Cell("computed", "#0072B2", "█"),
    Cell("skipped", "#FFFFFF", "/"),
    Cell("without guidance", "#882255", "o"),
)
REUSED, COMPUTED, SKIPPED, UNGUIDED = 0, 4, 5, 6


def cells(schedule: Schedule) -> NDArray[np.uint8]:
    """``(steps, slots)``: which of :data:`CELLS` each one is; forecasts by their level of damping.

    What nobody reads at a step counts as reused.
    """
    levels = schedule.damping[:, schedule.layout.component_index]
    found = np.where(schedule.forecast[:, :-1], levels, REUSED)
    found = np.where(schedule.effective, COMPUTED, found)
    return np.where(schedule.skip[:, None], SKIPPED, found).astype(np.uint8)


def guidance_cells(schedule: Schedule) -> NDArray[np.uint8] | None:
    """``(steps,)``: as :func:`cells`, what is done about the guidance branch without the prompt.

    It is computed, made of the last difference of both, of a forecast of it, or left out. None where it is computed
    wherever the transformer is entered.
    """
    guidance = schedule.guidance
    if guidance.is_full:
        return None
    found = np.where(guidance.both, COMPUTED, np.where(guidance.kept, guidance.levels, UNGUIDED))
    return np.where(schedule.skip, SKIPPED, found).astype(np.uint8)


def legend(schedule: Schedule) -> tuple[int, ...]:
    """The cells that a legend explains: those that occur."""
    guidance = guidance_cells(schedule)
    occur = [cells(schedule).ravel(), *([] if guidance is None else [guidance])]
    found: NDArray[np.uint8] = np.unique(np.concatenate(occur))
    return tuple(found.tolist())
