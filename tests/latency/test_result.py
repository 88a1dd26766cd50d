from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.files.json_file import json_text
from ecad_automl.latency.result import Batch, BenchResult, Row, Spread, failures, speedup, spread, table

SECONDS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9)


def batch() -> Batch:
    return Batch(
        4,
        (
            Row("uncached", "uncached", 10, 1.0, (2.0, 4.0, 3.0), (1.0, 2.0, 1.5)),
            Row("fora-2", "schedule", 10, 2.5, (1.0, 2.0, 1.5), (0.5, 1.0, 0.75), cache_bytes=3_000_000),
        ),
        {"one": "no reason", "two": "no reason", "three": "another"},
    )


def test_the_quartiles_enclose_the_median() -> None:
    assert spread([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(3.0, 2.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


@given(SECONDS, st.floats(0.1, 10))
def test_a_machine_that_slows_down_for_a_round_changes_no_ratio(uncached: list[float], factor: float) -> None:
    found = speedup([seconds / factor for seconds in uncached], uncached)
    assert [found.median, found.low, found.high] == pytest.approx([factor] * 3)


def test_ratios_are_taken_within_rounds_not_of_medians() -> None:
    # The machine is ten times slower in the second round; medians over all times would say otherwise.
    assert speedup([1.0, 10.0, 4.0], [2.0, 20.0, 2.0]).median == 2.0


def test_figures_of_a_row() -> None:
    found = batch()
    row = found.rows[1]
    assert found.transformer_speedup(row).median == 2.0
    assert found.whole_speedup(row).median == 2.0
    assert found.efficiency(row) == pytest.approx(2.0 / 2.5)
    assert found.images_per_second(row) == pytest.approx(4 / 1.5)
    assert found.efficiency(Row("x", "cache", 10, None, (1.0,) * 3, (1.0,) * 3)) is None


def test_the_json_holds_every_timing() -> None:
    written = json.loads(json_text(BenchResult({"model": "m"}, (batch(),)).to_dict()))
    assert written["schema"] == "ecad-automl/bench/1"
    assert written["complete"] is True
    (only,) = written["batches"]
    assert only["failed"]["one"] == "no reason"
    row = only["rows"][1]
    assert row["transformer"]["seconds"] == [0.5, 1.0, 0.75]
    assert row["whole"]["seconds"] == [1.0, 2.0, 1.5]
    assert row["transformer"]["speedup"]["median"] == 2.0
    assert row["cache_bytes"] == 3_000_000


def test_without_the_whole_call_nothing_is_told_of_it() -> None:
    written = BenchResult({}, (batch(),), whole=False).to_dict()
    assert written["clocks"] == ["transformer"]
    assert all("whole" not in row for row in written["batches"][0]["rows"])
    assert "images\nper s" not in [column.header for column in table(batch(), whole=False).columns]


def test_the_table_has_a_row_for_each_run_and_leaves_out_memory_that_nobody_told() -> None:
    drawn = table(batch(), whole=True)
    assert drawn.row_count == 2
    headings = [column.header for column in drawn.columns]
    assert "cache\nMB" in headings
    assert "peak\nMB" not in headings


def test_equal_reasons_are_told_once() -> None:
    assert failures(batch()) == ["one, two: no reason", "three: another"]


def test_one_round_is_said_to_be_one() -> None:
    once = Batch(1, (Row("uncached", "uncached", 10, 1.0, (2.0,), (1.0,)),))
    assert "does not tell how far times vary" in str(table(once, whole=True).title)
    assert "3 rounds: median" in str(table(batch(), whole=True).title)
