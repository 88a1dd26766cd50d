from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.guidance import KEEP
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import engine_floor, of_whole_steps, projected, whole_steps_of
from tests.engines.masks import MASK, layout


def test_a_mask_comes_back_and_its_steps_of_0_cost_the_first_block() -> None:
    schedule = of_whole_steps(layout(), MASK)
    found = whole_steps_of(schedule)
    assert found is not None
    assert found.astype(int).tolist() == MASK
    # 3 blocks of 2 components of 10, and 5 outside of them, which every step of an engine does.
    assert schedule.macs_by_step.tolist() == [65 if computed else 25 for computed in MASK]


def test_skipped_steps_reused_ones_and_those_of_the_first_block_are_all_whole_steps() -> None:
    skip = ~np.array(MASK, dtype=bool)
    everything = np.ones((10, 6), dtype=bool)
    for schedule in (Schedule(layout(), everything, skip), Schedule(layout(), everything & ~skip[:, None])):
        found = whole_steps_of(schedule)
        assert found is not None
        assert found.astype(int).tolist() == MASK


def test_what_chooses_within_a_step_or_leaves_a_guidance_branch_out_has_no_mask() -> None:
    compute = np.ones((10, 6), dtype=bool)
    compute[3, 5] = False
    assert whole_steps_of(Schedule(layout(), compute)) is None
    guidance = np.zeros(10, dtype=int)
    guidance[4] = KEEP
    assert whole_steps_of(Schedule(layout(), np.ones((10, 6), dtype=bool), guidance=guidance)) is None


def test_a_projection_has_about_the_macs_and_the_steps_that_were_computed_most() -> None:
    whole = of_whole_steps(layout(), MASK)
    assert projected(whole).astype(int).tolist() == MASK
    compute = np.zeros((10, 6), dtype=bool)
    compute[[0, 2, 5, 8]] = True
    compute[5, 5] = compute[8, 4] = False
    compute[7, 0] = True
    nearest = projected(Schedule(layout(), compute))
    assert nearest[0]
    assert set(np.flatnonzero(nearest)) <= {0, 2, 5, 8}
    moved = of_whole_steps(layout(), nearest)
    assert abs(moved.macs - Schedule(layout(), compute).macs) <= 40


def test_a_projection_needs_no_macs() -> None:
    bare = Layout("Tiny", tuple(Slot(f"blocks.{block}", part) for block in range(3) for part in ("attn", "ff")))
    nearest = projected(fora(bare, 10, 2, components=["ff"]))
    assert nearest[0]
    assert 5 <= nearest.sum() <= 8


def test_one_block_is_refused_with_the_reason() -> None:
    one = Layout("Tiny", (Slot("blocks.0", "attn"),))
    with pytest.raises(ScheduleError, match="one block, which engines compute in every step"):
        engine_floor(one)
    with pytest.raises(ScheduleError, match=r"has the shape \(2, 2\)"):
        of_whole_steps(layout(), np.ones((2, 2)))
