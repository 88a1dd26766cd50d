from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance import BOTH, KEEP
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.tail import last_steps
from tests.engines.masks import layout


def weights(steps: int) -> Forecasts:
    rng = np.random.default_rng(0)
    moved = rng.random((7, steps, steps)).astype(np.float32) + 0.1
    both = moved + moved.transpose(0, 2, 1)
    for each in both:
        np.fill_diagonal(each, 0.0)
    names = tuple(slot.name for slot in layout().slots)
    drift = Drift(names, both[:6], np.ones((6, steps), np.float32), both[6], np.ones(steps, np.float32))
    return Forecasts(drift, layout().component_index)


def test_the_first_of_them_computes_all_and_the_others_do_what_they_did() -> None:
    schedule = fora(layout(), 10, 3)  # computes 0, 3, 6 and 9
    tail = last_steps(schedule, 5)
    assert np.flatnonzero(tail.effective.all(axis=1)).tolist() == [0, 1, 4]
    assert last_steps(schedule, 10) is schedule


def test_forecasts_stay_where_they_are_from_the_same_steps_and_else_reuse() -> None:
    skip = np.array([0, 0, 1, 0, 0, 1, 1, 0, 1, 0], dtype=bool)
    everything = np.ones((10, 6), dtype=bool)
    schedule = Schedule(layout(), everything, skip, np.full((10, 3), 3), weights(10))
    assert schedule.forecast[:, -1].tolist() == skip.tolist()
    # From step 4 on: 5 and 6 were forecast from 3 and 4, of which 3 is not run any more; 8 from 4 and 7.
    tail = last_steps(schedule, 6)
    assert tail.skip.tolist() == skip[4:].tolist()
    assert np.flatnonzero(tail.forecast[:, -1]).tolist() == [4]
    assert np.array_equal(tail.coefficients[4], schedule.coefficients[8])
    # Begun at a step that was skipped, which is run now.
    assert not last_steps(schedule, 4).skip[0]


def test_guidance_is_computed_in_the_first_step_and_kept_after_it() -> None:
    actions = np.array([BOTH, BOTH, KEEP, KEEP, BOTH, KEEP], dtype=int)
    schedule = Schedule(layout(), np.ones((6, 6), dtype=bool), guidance=actions)
    assert last_steps(schedule, 3).guidance.actions.tolist() == [BOTH, BOTH, KEEP]


@pytest.mark.parametrize("count", [0, 11])
def test_more_or_fewer_than_there_are_is_an_error(count: int) -> None:
    with pytest.raises(ScheduleError, match=f"The last {count} steps of a schedule of 10"):
        last_steps(fora(layout(), 10, 2), count)
