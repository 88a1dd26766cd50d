"""Steps that reuse every slot, and what is left of them when they are skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.schedules.ecad_format import read_ecad, write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.guidance import KEEP
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.skips import reused_steps, with_skips
from tests.schedules.test_transfer import pixart_like, schedules

LAYOUT = pixart_like(2)


@given(schedules())
def test_slots_compute_what_they_did_and_each_skip_saves_what_a_run_costs_outside_them(schedule: Schedule) -> None:
    reused, skipped = reused_steps(schedule), with_skips(schedule)
    assert (reused == ~schedule.effective.any(axis=1)).all()
    assert (skipped.effective == schedule.effective).all()
    assert (skipped.skip == reused).all()
    assert schedule.macs - skipped.macs == int(reused.sum()) * schedule.layout.constant_macs
    assert not reused_steps(skipped).any()
    assert with_skips(skipped) == skipped


def test_a_schedule_without_such_steps_stays_as_it_is() -> None:
    schedule = fora(LAYOUT, 6, 2, components=["attn1"])
    assert not reused_steps(schedule).any()
    assert with_skips(schedule) == schedule


def test_steps_are_kept_in_which_a_guidance_branch_is_left_out_anywhere() -> None:
    schedule = fora(LAYOUT, 6, 2)
    guided = Schedule(LAYOUT, schedule.compute, guidance=[0, 0, KEEP, 0, 0, 0])
    assert reused_steps(schedule).any()
    assert with_skips(guided) == guided


@given(st.integers(0, 5), st.booleans())
def test_what_forecasts_need_is_kept(step: int, output: bool) -> None:
    """Slots are forecast at one step, or the output at a skipped one, from those of the two runs before it."""
    levels = np.zeros((6, len(LAYOUT.components) + 1), dtype=int)
    levels[step, -1 if output else slice(-1)] = 3
    weights = np.tile([1.7, -0.6], (6, len(LAYOUT) + 1, 1))
    skip = output & (np.arange(6) == step)
    schedule = Schedule(LAYOUT, fora(LAYOUT, 6, 3).compute, skip, levels, weights)
    skipped = with_skips(schedule)
    assert (skipped.forecast == schedule.forecast).all()
    assert (skipped.coefficients == schedule.coefficients).all()
    assert (skipped.sources[:, schedule.forecast] == schedule.sources[:, schedule.forecast]).all()


def test_a_schedule_from_a_file_of_ecad_is_skipped_too(tmp_path: Path) -> None:
    write_ecad(tmp_path / "theirs.json", fora(ecad_layout(4, 0), 10, 2), name="fora-2")
    found = read_ecad(tmp_path / "theirs.json").schedule
    assert with_skips(found).skip.tolist() == [False, True] * 5
