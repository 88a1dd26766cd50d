"""What a schedule is given as, and what becomes of a pipeline under one that is copied."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from ecad_automl import apply_schedule
from ecad_automl.errors import CacheStateError, OptionError
from ecad_automl.models import model_layout
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule


@dataclass
class Point:
    schedule: Schedule


@dataclass
class Front:
    recommended: Point | None


@pytest.fixture
def schedule(tiny_model: Any) -> Schedule:
    return fora(model_layout(tiny_model), 4, 2)


def test_a_point_and_a_front_are_applied_as_their_schedule(tiny_model: Any, schedule: Schedule) -> None:
    for given in (schedule, Point(schedule), Front(Point(schedule))):
        with apply_schedule(tiny_model.pipe, given) as handle:
            assert handle.schedule == schedule
            assert repr(handle).startswith("ScheduleHandle(in force on PixArtAlphaPipeline: 4 steps, ")
    assert repr(handle).startswith("ScheduleHandle(removed on ")


@pytest.mark.parametrize(
    ("given", "says"),
    [(Front(None), "recommends none"), (3, "A int was given"), (Point(3), "A Point was given")],  # type: ignore[arg-type]
)
def test_what_has_no_schedule_is_refused_in_a_sentence(tiny_model: Any, given: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        apply_schedule(tiny_model.pipe, given)


@pytest.mark.parametrize("how", [copy.deepcopy, pickle.dumps])
def test_a_pipeline_under_a_schedule_is_not_copied(tiny_model: Any, schedule: Schedule, how: Any) -> None:
    handle = apply_schedule(tiny_model.pipe, schedule)
    for what in (tiny_model.pipe, tiny_model.pipe.transformer, handle):
        with pytest.raises(CacheStateError, match=r"remove the handle \(handle.remove\(\)"):
            how(what)
    handle.remove()
    how(tiny_model.pipe.transformer)


def test_a_loaded_model_is_told_in_a_line(tiny_model: Any) -> None:
    assert repr(tiny_model).endswith("tiny-pixart', PixArtAlphaPipeline, float32 on cpu, 4 steps)")
