"""What is timed: the plain pipeline, schedules, and the plain pipeline with fewer steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from ecad_automl.errors import ScheduleError
from ecad_automl.latency.result import Kind
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

UNCACHED = "uncached"

#: diffusers' PixArt takes a single step for a sign of a distilled model and then fails.
_FEWEST_STEPS = 2


@dataclass(frozen=True)
class Contender:
    """One way to run a pipeline.

    Args:
        name: what to call it.
        kind: what it is.
        steps: denoising steps of its calls.
        enter: brings the pipeline into the state in which it is timed, for a block.
        mac_speedup: how many times fewer MACs than uncached; None where they must be counted in a run.
        required: whether the benchmark makes no sense where this one fails; if not, the failure is listed.
    """

    name: str
    kind: Kind
    steps: int
    enter: Callable[[], AbstractContextManager[Any]]
    mac_speedup: float | None = None
    required: bool = True

    @property
    def changes(self) -> bool:
        """Whether entering it changes the pipeline."""
        return self.kind in ("schedule", "cache")


def uncached(steps: int) -> Contender:
    """The plain pipeline."""
    return Contender(UNCACHED, "uncached", steps, nullcontext, 1.0)


def fitted(layout: Layout, schedule: Schedule, name: str) -> Schedule:
    """The schedule with the MACs of a layout, which depend on size and text length.

    Raises:
        ScheduleError: the schedule is for another transformer.
    """
    difference = layout.difference(schedule.layout)
    if difference is not None:
        raise ScheduleError(f"The schedule {name!r} does not fit this model: {difference}.")
    return Schedule(layout, schedule.effective)


def scheduled(pipe: Any, schedules: Mapping[str, Schedule], **options: Any) -> list[Contender]:
    """The pipeline under each schedule, with options of :func:`~ecad_automl.runtime.apply_schedule`."""
    handle: ScheduleHandle | None = None

    def enter(schedule: Schedule) -> Callable[[], AbstractContextManager[Any]]:
        def applied() -> ScheduleHandle:
            nonlocal handle  # blocks prepared for one schedule serve the next
            handle = handle.switch(schedule) if handle else apply_schedule(pipe, schedule, **options)
            return handle

        return applied

    return [
        Contender(name, "schedule", schedule.steps, enter(schedule), schedule.mac_speedup)
        for name, schedule in schedules.items()
    ]


def nearest_steps(schedule: Schedule) -> int | None:
    """The step count whose uncached MACs are nearest to those of the schedule; None where that is the full count."""
    count = max(_FEWEST_STEPS, round(schedule.mac_fraction * schedule.steps))
    return count if count < schedule.steps else None


def fewer_steps(schedules: Mapping[str, Schedule]) -> list[Contender]:
    """The plain pipeline with as few steps as make it about as cheap as each schedule, each count once."""
    found = {nearest_steps(schedule): schedule.steps for schedule in schedules.values()}
    return [
        Contender(f"{count} steps", "fewer steps", count, nullcontext, full / count, required=False)
        for count, full in sorted(found.items(), key=lambda item: -(item[0] or 0))
        if count is not None
    ]
