"""The last steps of a schedule, as runs that begin with an image are made of."""

from __future__ import annotations

import numpy as np

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.guidance import KEEP, NONE
from ecad_automl.schedules.schedule import Schedule


def last_steps(schedule: Schedule, count: int) -> Schedule:
    """The schedule of the last steps alone: all is computed in the first of them, and then as in the schedule.

    What is forecast there from other steps than before, since earlier ones are not run, is reused instead.

    Args:
        schedule: it.
        count: how many steps are run.

    Raises:
        ScheduleError: it has not so many steps, or none is asked for.
    """
    if not 1 <= count <= schedule.steps:
        raise ScheduleError(
            f"The last {count} steps of a schedule of {schedule.steps} were asked for, which it has not."
        )
    if count == schedule.steps:
        return schedule
    start = schedule.steps - count
    guidance = schedule.guidance
    compute, skip = schedule.effective[start:].copy(), schedule.skip[start:].copy()
    compute[0], skip[0] = True, False
    actions = guidance.actions[start:].copy()
    weights, guided = schedule.weights[start:], guidance.weights[start:]
    damping = schedule.damping[start:].copy()
    kept = np.where((actions > KEEP) & (actions < NONE), KEEP, actions)
    plain = Schedule(schedule.layout, compute, skip, guidance=kept)

    def moved(now: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Where the sources are other ones than they were: ``(steps, ...)`` bool."""
        found: np.ndarray = np.any(np.where(now < 0, -1, now + start) != before[:, start:], axis=0)
        return found

    changed = moved(plain.sources, schedule.sources) & schedule.forecast[start:]
    columns = np.append(schedule.layout.component_index, len(schedule.layout.components))
    for step, row in np.argwhere(changed):
        damping[step, columns[row]] = 0
    actions = np.where(moved(plain.guidance.sources, guidance.sources), kept, actions)
    return Schedule(schedule.layout, compute, skip, damping, weights, actions, guided)
