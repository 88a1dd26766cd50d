from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl.judging.comparison import UNCACHED, Judge, Sample, summarize
from ecad_automl.judging.comparison.summary import csv_table, document
from ecad_automl.rewards import load_reward
from ecad_automl.schedules.schedule import Schedule
from storage.scores import ScoreFile
from tests.judging.comparison.conftest import PROMPTS, Brightness, every


@pytest.fixture
def filled(tiny_model: Any, tmp_path: Path) -> tuple[dict[str, Schedule], int, Sample, Judge, ScoreFile]:
    """Scores that somebody wrote down, of two runs on five prompts with two seeds."""
    sample, judge = Sample(PROMPTS, (0, 1)), Judge({"brightness": Brightness(), "fidelity": load_reward("fidelity")})
    ledger = ScoreFile.open(tmp_path / "scores.db", {})
    uncached = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    ledger.save(UNCACHED, sample.items, {"brightness": uncached, "fidelity": np.zeros(10)}, {})
    moved = uncached + np.array([0.1, 0.1, 0.0, 0.1, -0.2, 0.1, 0.1, 0.1, 0.1, 0.1])
    ledger.save("every-2", sample.items, {"brightness": moved, "fidelity": -moved}, {})
    for run, seconds in ((UNCACHED, 4.0), (UNCACHED, 4.4), ("every-2", 2.0), ("every-2", 2.2)):
        ledger.save_time(run, 4, seconds, "2026-01-01")
    ledger.save_time("every-2", 1, 50.0, "2026-01-01")
    schedules = every(tiny_model, 2)
    return schedules, schedules["every-2"].steps, sample, judge, ledger


def test_a_summary_holds_means_differences_and_win_rates(filled: Any) -> None:
    schedules, steps, sample, judge, ledger = filled
    uncached, cached = summarize(schedules, steps, sample, judge, ledger, {"fid": {UNCACHED: 0.0, "every-2": 3.5}})
    brightness = cached.metrics["brightness"]
    assert brightness.mean.mean == pytest.approx(0.61)
    assert brightness.difference is not None
    assert brightness.difference.mean == pytest.approx(0.06)
    assert brightness.difference.low < 0.06 < brightness.difference.high
    assert brightness.win_rate == pytest.approx((8 + 0.5) / 10)
    assert uncached.metrics["brightness"].difference is None
    assert cached.metrics["fidelity"].difference is None  # it compares with the uncached image already
    assert cached.metrics["fid"].mean.mean == 3.5
    assert cached.metrics["fid"].images == 10


def test_time_is_that_of_the_largest_batch(filled: Any) -> None:
    uncached, cached = summarize(*filled)
    assert uncached.times.median == pytest.approx(1.05)
    assert cached.times.speedup == pytest.approx(2.0)
    assert cached.times.speedup_range == pytest.approx((2.0, 2.0))


def test_one_timed_call_tells_seconds_but_no_ratio(filled: Any) -> None:
    schedules, steps, sample, judge, ledger = filled
    for run, seconds in ((UNCACHED, 9.0), ("every-2", 3.0)):
        ledger.save_time(run, 8, seconds, "2026-01-01")
    found = summarize(schedules, steps, sample, judge, ledger)
    assert found[1].times.median == pytest.approx(3 / 8)
    assert [run["speedup"] for run in document(found, {})["runs"]] == [None, None]


def test_macs_are_those_of_the_schedule(filled: Any) -> None:
    uncached, cached = summarize(*filled)
    assert cached.macs == filled[0]["every-2"].macs
    assert uncached.macs == pytest.approx(cached.macs * cached.mac_speedup)
    schedules, steps, *others = filled
    longer, shorter = summarize(schedules, 2 * steps, *others)
    assert (longer.macs, shorter.macs) == (2 * uncached.macs, cached.macs)
    assert shorter.mac_speedup == pytest.approx(2 * cached.mac_speedup)


def test_one_prompt_has_no_interval(tiny_model: Any, tmp_path: Path) -> None:
    sample, judge = Sample(["a cross"]), Judge({"brightness": Brightness()})
    with ScoreFile.open(tmp_path / "scores.db", {}) as ledger:
        ledger.save(UNCACHED, sample.items, {"brightness": np.array([0.5])}, {})
        [uncached] = summarize({}, 4, sample, judge, ledger)
    assert uncached.metrics["brightness"].mean.mean == 0.5
    assert math.isnan(uncached.metrics["brightness"].mean.low)
    assert document([uncached], {})["runs"][0]["metrics"]["brightness"]["interval"] is None


def test_json_and_csv_say_the_same(filled: Any) -> None:
    found = summarize(*filled)
    data = json.loads(json.dumps(document(found, {"of": "a test"}), allow_nan=False))
    rows = list(csv.DictReader(io.StringIO(csv_table(found))))
    assert len(rows) == 4
    for row in rows:
        run = next(run for run in data["runs"] if run["name"] == row["run"])
        metric = run["metrics"][row["metric"]]
        assert float(row["mean"]) == metric["mean"]
        assert float(row["speedup"]) == run["speedup"]
        assert (row["difference"] == "") == (metric["difference"] is None)
        if metric["difference"] is not None:
            assert [float(row["difference_low"]), float(row["difference_high"])] == metric["difference_interval"]
