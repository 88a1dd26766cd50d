"""Steps in which all slots are reused, and the same schedules with these steps skipped."""

from __future__ import annotations

import numpy as np

from ecad_automl.schedules.schedule import Bits, Schedule


def reused_steps(schedule: Schedule) -> Bits:
    """Steps that compute no slot, and that :func:`with_skips` would skip.

    None where a guidance branch is left out in any step. A step that forecasts is none, nor is one from whose output
    that of a later step is forecast: its weights are for this output.

    Returns:
        ``(steps,)`` bool.
    """
    if not schedule.guidance.is_full:
        return np.zeros(schedule.steps, dtype=np.bool_)
    found: Bits = ~schedule.effective.any(axis=1) & ~schedule.skip & ~schedule.forecast.any(axis=1)
    found[schedule.sources[:, schedule.forecast[:, -1], -1]] = False
    return found


def with_skips(schedule: Schedule) -> Schedule:
    """The schedule with :func:`reused_steps` skipped, which saves all that these still do outside the slots.

    Images change a little: such a step has reused the slots under its own time embedding and on its own latents, while
    a skipped step has the output of the last step that was run.
    """
    skip = schedule.skip | reused_steps(schedule)
    guidance = schedule.guidance
    return Schedule(
        schedule.layout,
        schedule.effective,
        skip,
        schedule.damping,
        schedule.weights,
        guidance.actions,
        guidance.weights,
    )
