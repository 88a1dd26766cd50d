"""Fitted coefficients of a schedule, and the forms in which they are kept."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import FileError, ScheduleError
from ecad_automl.schedules.fitted import TERMS, as_it_is, read_fitted, write_fitted
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import load_schedule, save_schedule
from ecad_automl.schedules.skips import with_skips
from tests.schedules.test_transfer import pixart_like

STEPS = 6
#: Of the steps 0, 2, 4; the others are skipped.
SKIPPING = with_skips(fora(pixart_like(2), STEPS, 2))

numbers = st.floats(-1e6, 1e6, width=32)


def test_of_what_there_is_not_nothing_is_fitted() -> None:
    """A skipped step has no output of its own, and a term of an earlier one needs as many steps that ran."""
    for step, outputs in enumerate([0, 1, 1, 2, 2, 3]):
        there = {*TERMS[1 : 1 + outputs], *(TERMS[-2:] if outputs else ()), *(["output"] if step % 2 == 0 else [])}
        for place, term in enumerate(TERMS):
            fitted = as_it_is(STEPS)
            fitted[step] = 0
            fitted[step, place] = 0.5
            if term in there:
                assert SKIPPING.with_fitted(fitted).fitted is not None
            else:
                with pytest.raises(ScheduleError, match=f"step {step} .*'{term}'"):
                    SKIPPING.with_fitted(fitted)


@pytest.mark.parametrize(
    "fitted",
    [[[1.0] * len(TERMS)], np.full((STEPS, len(TERMS)), np.nan), [["a"] * len(TERMS)] * STEPS, np.ones((STEPS, 4))],
)
def test_other_shapes_and_numbers_are_refused(fitted: Any) -> None:
    with pytest.raises(ScheduleError, match="itted coefficients"):
        SKIPPING.with_fitted(fitted)


@given(rows=st.dictionaries(st.sampled_from([1, 3, 5]), st.tuples(numbers, numbers, numbers, numbers)), own=numbers)
def test_they_are_read_as_they_were_written(rows: dict[int, tuple[float, ...]], own: float) -> None:
    fitted = as_it_is(STEPS)
    for step, row in rows.items():
        fitted[step] = 0
        fitted[step, [1, 2, -2, -1]] = row[0], row[1] * (step > 1), row[2], row[3]
    fitted[4, :2] = own, 1 - own
    schedule = SKIPPING.with_fitted(fitted)
    assert schedule.fitted is not None
    np.testing.assert_array_equal(read_fitted(write_fitted(schedule.fitted), STEPS), fitted)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_they_are_part_of_the_effect_but_not_of_the_genome() -> None:
    fitted = as_it_is(STEPS)
    fitted[4, :2] = 1.25, -0.25
    schedule = SKIPPING.with_fitted(fitted)
    assert schedule != SKIPPING
    assert schedule != SKIPPING.with_fitted(as_it_is(STEPS))
    assert schedule.with_fitted(None) == SKIPPING
    assert schedule.to_genome() == SKIPPING.to_genome()
    assert Schedule.from_genome(schedule.layout, STEPS, schedule.to_genome()).fitted is None


@pytest.mark.parametrize("plain", [fora(pixart_like(2), STEPS, 2), SKIPPING], ids=["reuse", "skips"])
def test_a_file_holds_them_and_says_so_by_its_version(plain: Schedule, tmp_path: Path) -> None:
    fitted = as_it_is(STEPS)
    fitted[2, :2] = 1.5, -0.5
    save_schedule(tmp_path / "s.json", plain.with_fitted(fitted))
    assert load_schedule(tmp_path / "s.json").schedule == plain.with_fitted(fitted)
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["schema"] == "ecad-automl/schedule/3"
    rest = [0.0] * (len(TERMS) - 2)
    assert document["fitted"] == [[2, 1.5, -0.5, *rest]]
    for changed, told in (
        ([[2, 1.5, -0.25, *rest]], "sha256"),
        ([[2, 1.5]], "11 coefficients"),
        ([[2, 1.5, -0.5, *rest]] * 2, "each once"),
        ([[True, 1.5, -0.5, *rest]], "11 coefficients"),
        ([[0, 1.5, 0, *rest]], "after the first"),
        ([[2, 1e39, -0.5, *rest]], "finite"),
        ([[2, 1.5, -0.5, 0.0, 0.5, *rest[2:]]], "'output 3 back'"),
        ("no", "needs a list"),
    ):
        (tmp_path / "s.json").write_text(json.dumps({**document, "fitted": changed}))
        with pytest.raises(FileError, match=told):
            load_schedule(tmp_path / "s.json")


def test_what_is_no_text_of_coefficients_is_refused() -> None:
    for text in ("", "{", "[[1]]", "1"):
        with pytest.raises(ScheduleError):
            read_fitted(text, STEPS)
