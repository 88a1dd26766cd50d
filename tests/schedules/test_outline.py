"""What is told of a schedule in few figures, from its text alone."""

from __future__ import annotations

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.genomes import Genomes, write_genome
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.outline import Outline
from ecad_automl.schedules.schedule import Schedule

STEPS = 8
SLOTS = tuple(Slot(f"blocks.{block}", "attn", macs=10) for block in range(5))
GUIDED, ALONE = Layout("T", SLOTS, sample={"branches": 2}), Layout("T", SLOTS)


@pytest.mark.parametrize("steps", [STEPS, 5])
@pytest.mark.parametrize("layout", [GUIDED, ALONE])
def test_it_counts_what_the_schedule_does(layout: Layout, steps: int) -> None:
    random, genomes = np.random.default_rng(steps), Genomes(layout, STEPS)
    for _ in range(20):
        compute, skip = random.random((steps, len(layout))) < 0.6, random.random(steps) < 0.3
        guidance = random.choice([0, 1, 5], steps) if layout is GUIDED else None
        schedule = Schedule(layout, compute, skip, guidance=guidance)
        found = genomes.outline(write_genome(schedule, STEPS))
        run = ~schedule.skip
        assert found == Outline(
            steps, run.sum(), schedule.guidance.both.sum() if layout is GUIDED else None, schedule.effective[run].mean()
        )


def test_forecasts_need_no_weights() -> None:
    text = Schedule(GUIDED, np.ones((4, 5))).to_hex() + "/20/" + "03" * 4 + "/0203"
    assert Genomes(GUIDED, 4).outline(text) == Outline(4, 3, 1, 20 / 15)


def test_what_is_as_in_an_uncached_run_is_left_out() -> None:
    assert str(Outline(10, 7, 6, 0.92)) == "10 steps, 7 run, 6 guided, 92 % of slots"
    assert str(Outline(10, 7, 7, 1.0)) == "10 steps, 7 run"
    assert str(Outline(10, 10, None, 0.5)) == "10 steps, 50 % of slots"
    assert str(Outline(10, 10, 9, 0.9999)) == "10 steps, 9 guided, 99 % of slots"
    assert str(Outline.whole(GUIDED, 1)) == "1 step"
    assert Outline.whole(ALONE, 3) == Outline(3, 3, None, 1.0)


@pytest.mark.parametrize("text", ["", "no bits", "ff/zz/00", "ffffffffff/ff/" + "0" * 16])
def test_a_text_of_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="is not the text of a schedule of 8 steps"):
        Outline.of_genome(GUIDED, STEPS, text)
