from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl.api.stored import read_study
from ecad_automl.errors import StudyError
from ecad_automl.judging.statistics import prompt_interval
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.run import Kind
from storage import BaselineRecord, EvaluationRecord, Store

LAYOUT = Layout("T", (Slot("blocks.0", "attn1", None, 10**9), Slot("blocks.0", "ff", None, 10**9)))
STEPS = 6
PROMPTS = 8

#: Beside a front of the uncached run and the cheapest schedule.
ORIGINS = ("fora-3", "pab", "tgate-m3-k1", "all-reuse", "random-50", "drift-2", "init:a-fora-3", "bred")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    identity: dict[str, Any] = {
        "layout": LAYOUT.to_dict(),
        "generation": GenerationSettings(STEPS, 3.0, 64, 64, 20).to_dict(),
        "prompts": [str(number) for number in range(PROMPTS)],
        "seeds": [0],
        "reward": "r",
    }
    path = tmp_path / "s.db"
    with Store.open(path) as store:
        store.claim_study("s", identity)
        store.save_baseline("s", BaselineRecord("uncached", STEPS, 12.0, 1.0, 0.0, 0.0))
        store.save_baseline("s", BaselineRecord("2 steps", 2, 4.0, 0.5, 0.5, 0.1))
        for trial, origin in enumerate(("cheapest", *ORIGINS)):
            bits = np.unpackbits(np.array([trial], np.uint8)).astype(bool)
            compute = np.zeros((STEPS, 2), bool)
            compute[1:5] = bits.reshape(4, 2)
            found = Schedule(LAYOUT, compute)
            gmacs, reward = (1.0, 0.9) if origin == "cheapest" else (5.0 + trial, 0.1)
            record = EvaluationRecord(
                f"{found.to_genome()}", gmacs, reward, 1 - reward, 0.01, origin=origin, trial=trial
            )
            store.save_evaluation("s", record)
        store.save_evaluation("s", replace(record, genome="fff000", origin="fora-2", trial=20, complete=False))
        store.save_evaluation("s", replace(record, genome="ffff00", origin="fora-5", trial=21, feasible=False))
    return path


def test_heuristics_are_the_published_ones_that_were_evaluated_and_are_not_on_the_front(database: Path) -> None:
    study = read_study(database, None)
    assert [run.origin for run in study.heuristics] == ["fora-3", "pab", "tgate-m3-k1"]
    assert [run.origin for run in study.front] == ["cheapest"]
    kinds = {run.trial: run.kind for run in study.runs}
    assert (kinds[20], kinds[21]) == (Kind.STOPPED, Kind.INFEASIBLE)


def test_intervals_are_student_s_over_the_prompts(database: Path) -> None:
    run = read_study(database, None).front[0]
    values = np.linspace(-1, 1, PROMPTS)
    values *= run.standard_error / (values.std(ddof=1) / np.sqrt(PROMPTS))
    assert run.half == pytest.approx(prompt_interval(values).half)
    assert run.difference_interval == pytest.approx(
        (run.difference - (run.half or 0), run.difference + (run.half or 0))
    )


def test_a_trial_is_found_by_its_number(database: Path) -> None:
    study = read_study(database, None)
    assert study.trial(4) is study.runs[4]
    with pytest.raises(StudyError, match="no evaluated trial 99; the trials go from 0 to 21"):
        study.trial(99)
    with pytest.raises(StudyError, match="no trials yet"):
        replace(study, runs=()).trial(5)


def test_what_cannot_be_shown_without_a_front_says_so(database: Path) -> None:
    study = read_study(database, None)
    assert study.some_front() == study.front
    worse = replace(study, runs=tuple(run for run in study.runs if run.kind is not Kind.FRONT))
    with pytest.raises(StudyError, match="no front to show; search on"):
        worse.some_front()
