"""A schedule, however it is given: itself, what holds one, a front that recommends one, a file, a name of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ecad_automl.errors import OptionError
from ecad_automl.gallery import builtin_plan, is_builtin
from ecad_automl.hub import load_pretrained
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile


@runtime_checkable
class HoldsSchedule(Protocol):
    """Such as a point of a front."""

    @property
    def schedule(self) -> Schedule:
        """What is to be run."""
        ...


@runtime_checkable
class RecommendsSchedule(Protocol):
    """Such as a front."""

    @property
    def recommended(self) -> HoldsSchedule | None:
        """The point to take; None where there is none."""
        ...


#: What :func:`~ecad_automl.apply_schedule` takes.
Given = Schedule | HoldsSchedule | RecommendsSchedule | str | Path


def schedule_of(given: Given, layout: Layout) -> tuple[Schedule, dict[str, Any]]:
    """The schedule, and the ``sigmas`` and ``strength`` that its file was measured with, if any.

    Args:
        given: it.
        layout: of the transformer that it is for: what is made by rule is made on that.

    Raises:
        OptionError: it is none of what is taken, a front without a point, or there is no ready one of that name.
        ScheduleError: a ready one is for another transformer.
        FileError: its file cannot be read.
        HubError: it cannot be had from the hub.
    """
    if isinstance(given, Schedule):
        return given, {}
    if isinstance(given, str) and is_builtin(given):
        return builtin_plan(given).schedule(layout), {}
    if isinstance(given, str | Path):
        given = load_pretrained(given)
    if isinstance(given, RecommendsSchedule):
        point = given.recommended
        if point is None:
            raise OptionError("The front has no schedule, so it recommends none; search on.")
        given = point
    if not isinstance(given, HoldsSchedule) or not isinstance(given.schedule, Schedule):
        raise OptionError(
            f"A {type(given).__name__} was given as the schedule, but a schedule, a front or a point of one, a file, "
            "or a name of the hub is expected."
        )
    call = given.metadata.call if isinstance(given, ScheduleFile) else {}
    kinds = {"sigmas": list, "strength": float}
    return given.schedule, {name: call[name] for name, kind in kinds.items() if isinstance(call.get(name), kind)}
