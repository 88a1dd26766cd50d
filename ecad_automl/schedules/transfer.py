"""Moving schedules between models: another depth, resolution or step count, or a sibling with the same components."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout, Slot, place_of, rows_at
from ecad_automl.schedules.schedule import Bits, Schedule


def move_schedule(schedule: Schedule, layout: Layout, steps: int, weights: Forecasts | None = None) -> Schedule:
    """The schedule that does on another layout, in another number of steps, what this one does on its own.

    Slots are matched as :func:`counterparts` says; what has no counterpart is computed in every step. Each computation
    moves to the step at the same share of the run, and where two adjacent steps are computed, so is all between them.
    So outputs get as old as they did in terms of the run, not of steps, and slots that shared their steps still do.
    Unlike :meth:`~ecad_automl.schedules.schedule.Schedule.resample` this keeps no share of MACs, but loses no
    computation either: on the bundled model, a front that was moved from 20 to 14 steps in this way is far ahead of one
    that was resampled.

    Steps are skipped at the same shares of the run, unless computations were moved to them. What is forecast is so
    with new weights, at the damping of the same component and share of the run; without these it is reused. What is
    done about guidance moves in the same way.

    Between equal layouts and step counts the schedule stays as it is.

    Args:
        schedule: what to move.
        layout: the slots to move it to.
        steps: denoising steps to move it to.
        weights: of forecasts on that model in so many steps.

    Raises:
        ScheduleError: the layouts share no component, or ``steps`` is below 1.
    """
    if steps < 1:
        raise ScheduleError(f"A schedule cannot be moved to {steps} steps; at least 1 is needed.")
    if layout == schedule.layout and steps == schedule.steps:
        return on_layout(schedule, layout)
    source = counterparts(schedule.layout, layout)
    rows = _at_shares(schedule.effective, steps)
    at = rows_at(schedule.steps, steps)
    skip = schedule.skip[at] & ~rows.any(axis=1)
    compute = np.where(source >= 0, rows[:, source], ~skip[:, None])
    guidance = schedule.guidance.moved(at, forecasts=weights is not None)
    if weights is None:
        return Schedule(layout, compute, skip, guidance=guidance)
    theirs = schedule.layout.components
    levels = np.zeros((steps, len(layout.components) + 1), dtype=np.intp)
    levels[:, -1] = schedule.damping[at, -1]
    for column, component in enumerate(layout.components):
        if component in theirs:
            levels[:, column] = schedule.damping[at, theirs.index(component)]
    return Schedule(layout, compute, skip, levels, weights, guidance)


def on_layout(schedule: Schedule, layout: Layout) -> Schedule:
    """The very same actions, on a layout of the same slots whose MACs may be others."""
    guidance = schedule.guidance
    actions = (schedule.skip, schedule.damping, schedule.weights, guidance.actions, guidance.weights)
    return Schedule(layout, schedule.effective, *actions)


def _at_shares(compute: Bits, steps: int) -> Bits:
    """Computations of ``(before, slots)`` at the same shares of a run of other ``steps``: ``(steps, slots)``."""
    before = len(compute)
    share = np.arange(before) / before
    start = np.minimum((share * steps + 0.5).astype(np.intp), steps - 1)
    # Up to where the next computation makes an unbroken run of them.
    end = np.maximum(np.append(start[1:], steps), start + 1)
    moved = np.zeros((steps, compute.shape[1]), dtype=np.bool_)
    for step in range(before):
        moved[start[step]] |= compute[step]
        # The last step goes on to the end where the one before it was computed too.
        unbroken = compute[step] & compute[step + 1 if step + 1 < before else max(step - 1, 0)]
        moved[start[step] : end[step]] |= unbroken
    return moved


def counterparts(source: Layout, target: Layout) -> NDArray[np.intp]:
    """Which slot of one layout stands for each slot of another.

    Slots of one component are matched by their relative depth among all that have it. Where both transformers have
    the component in blocks of one name (``single_transformer_blocks``), the depth among these counts.

    Args:
        source: the layout of a known schedule.
        target: the layout that it is moved to.

    Returns:
        ``(len(target),)``: indices of slots of ``source``, -1 where it does not have the component.

    Raises:
        ScheduleError: there is no component that both have.
    """
    if not set(source.components) & set(target.components):
        raise ScheduleError(
            f"A schedule for {source.transformer} has the components {', '.join(source.components)}, but "
            f"{target.transformer} has {', '.join(target.components)}; a schedule can only be moved where at least one "
            "is shared."
        )
    by_component = _matched(source, target, lambda slot: slot.component)
    by_stack = _matched(source, target, lambda slot: (place_of(slot.block)[0], slot.component))
    found: NDArray[np.intp] = np.where(by_stack >= 0, by_stack, by_component)
    return found


def _matched(source: Layout, target: Layout, kind: Callable[[Slot], object]) -> NDArray[np.intp]:
    """``(len(target),)``: the slot of ``source`` at the same relative depth among those of its kind, or -1."""
    theirs, ours = _by_kind(source, kind), _by_kind(target, kind)
    found = np.full(len(target), -1, dtype=np.intp)
    for key, mine in ours.items():
        if key in theirs:
            depth = (np.arange(len(mine)) + 0.5) / len(mine)
            found[mine] = theirs[key][(depth * len(theirs[key])).astype(np.intp)]
    return found


def _by_kind(layout: Layout, kind: Callable[[Slot], object]) -> dict[object, NDArray[np.intp]]:
    lists: dict[object, list[int]] = {}
    for index, slot in enumerate(layout.slots):
        lists.setdefault(kind(slot), []).append(index)
    return {key: np.array(slots, dtype=np.intp) for key, slots in lists.items()}
