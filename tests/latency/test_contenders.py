from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError
from ecad_automl.latency.contenders import fewer_steps, fitted, nearest_steps
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule


def layout(blocks: int = 4, constant: int = 0, macs: int = 1000) -> Layout:
    return Layout("T", tuple(Slot(f"blocks.{index}", "ff", None, macs) for index in range(blocks)), constant)


def test_as_many_steps_as_come_nearest_to_the_macs() -> None:
    plain = layout()
    assert nearest_steps(fora(plain, 20, 2), 20) == 10
    assert nearest_steps(fora(plain, 20, 3), 20) == 7
    bits = np.zeros((20, 4), bool)
    assert nearest_steps(Schedule(plain, bits), 20) == 2  # one step is too few for some pipelines
    # Beside 20 steps, whatever its own are: 10 of which every second is computed.
    assert nearest_steps(fora(plain, 10, 2), 20) == 5
    # MACs that no schedule avoids keep a schedule dear: 20 x 4,000 of constant MACs and two steps of 4 x 1,000.
    assert nearest_steps(Schedule(layout(constant=4000), bits), 20) == round(20 * 84_000 / 160_000)


def test_no_fewer_steps_stand_beside_a_schedule_that_computes_nearly_everything() -> None:
    bits = np.ones((20, 4), bool)
    bits[3, 0] = False
    assert nearest_steps(Schedule(layout(), bits), 20) is None
    assert fewer_steps({"a": Schedule(layout(), bits)}, 20) == []


def test_each_step_count_is_timed_once_with_its_own_saving() -> None:
    plain = layout()
    found = fewer_steps({"a": fora(plain, 20, 5), "b": fora(plain, 20, 2), "c": fora(plain, 20, 2)}, 20)
    assert [(one.name, one.steps, one.mac_speedup) for one in found] == [("10 steps", 10, 2.0), ("4 steps", 4, 5.0)]
    assert not any(one.required for one in found)


def test_a_schedule_takes_the_macs_of_the_model_at_hand() -> None:
    dear = fitted(layout(constant=500, macs=9), fora(layout(), 10, 2), "s")
    assert dear.macs == 10 * 500 + 5 * 4 * 9


def test_all_that_a_schedule_does_is_timed() -> None:
    """Skipped steps, forecasts, and steps of one guidance branch among it."""
    bits = np.ones((6, len(layout())), dtype=np.bool_)
    bits[4:] = False
    damping, weights = np.full((6, len(layout().components) + 1), 3), np.tile([1.4, -0.4], (6, len(layout()) + 1, 1))
    guidance = ([BOTH, BOTH, KEEP + 3, BOTH, NONE, BOTH], np.tile([1.5, -0.6], (6, 1)))
    given = Schedule(layout(), bits, np.arange(6) == 3, damping, weights, *guidance)
    assert not given.guidance.is_full
    assert given.forecast.any()
    assert fitted(layout(), given, "s") == given


def test_a_schedule_of_another_model_is_refused_by_name() -> None:
    with pytest.raises(ScheduleError, match="'mine' does not fit this model: it is for 3 blocks, not 4"):
        fitted(layout(), fora(layout(3), 10, 2), "mine")
