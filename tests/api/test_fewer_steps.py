"""A search whose candidates have several numbers of steps, from the first image to a file that is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl import Front, apply_schedule, load_model
from ecad_automl.errors import OptionError
from ecad_automl.schedules.schedule_file import load_schedule
from storage import Store, check_database
from studies import LatencySettings, SearchConfig
from tests.api.conftest import METHOD

Search = Callable[..., Any]
CONFIG = SearchConfig(evaluations=9, offspring=2, heuristics="none", steps_from=0.3, **METHOD)


def evaluated(database: Path) -> list[tuple[int, str, float]]:
    return [(run.steps, str(run.genome), run.reward) for run in Front.load(database)._study.runs]


def test_shorter_runs_are_candidates_like_others(by_call: Search, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "joint.db"
    by_call(database, 10, config=CONFIG, steps=8)
    by_call(database, 24, config=replace(CONFIG, steps_from=None), steps=8)  # goes on with what it began with
    found = evaluated(database)
    assert {steps for steps, *_ in found} >= {3, 4, 5, 6, 8}
    front = Front.load(database)
    shorter = [run for run in front._study.runs if run.steps != 8]
    bred = [run for run in shorter if run.generation]
    assert bred
    for run in shorter:
        assert str(run.genome).startswith(f"{run.steps}:")
    with Store.open(database, read_only=True) as store:
        genomes = store.genomes(front.study)
        for run in front._study.runs:
            schedule = genomes.schedule(str(run.genome))
            assert schedule.steps == run.steps
            assert run.gmacs == pytest.approx(schedule.gmacs)
            assert run.speedup == pytest.approx(front._study.uncached.gmacs / schedule.gmacs)
    assert not check_database(database).findings

    # An uncached run of fewer steps was made once, and is what the calibration says of it.
    whole = {run.steps: run for run in shorter if run.origin == f"{run.steps} steps"}
    for run in front._study.shorter:
        if run.steps in whole:
            assert whole[run.steps].reward == run.reward

    point = next(point for point in front.evaluations if point.schedule.steps == 5)
    (path,) = front.export(tmp_path / "out", point)
    assert load_schedule(path).schedule == point.schedule
    model = load_model(str(tiny_pixart_folder))
    call = {"height": 16, "width": 16, "output_type": "latent", "use_resolution_binning": False}
    with apply_schedule(model.pipe, path) as run:
        assert run.arguments == {"num_inference_steps": 5}
        latents = model.pipe("a", **call, **run.arguments).images
    assert torch.isfinite(latents).all()


def test_interrupted_or_not_it_finds_the_same(by_call: Search, tmp_path: Path) -> None:
    for budget in (9, 13, 16):
        by_call(tmp_path / "parts.db", budget, config=CONFIG, steps=6)
    by_call(tmp_path / "whole.db", 16, config=CONFIG, steps=6)
    assert evaluated(tmp_path / "parts.db") == evaluated(tmp_path / "whole.db")


def test_latency_is_of_one_number_of_steps(by_call: Search, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="by MACs alone"):
        by_call(tmp_path / "timed.db", 9, config=CONFIG, cost=LatencySettings())
