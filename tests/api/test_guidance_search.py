"""A search that chooses in which steps both guidance branches are computed, from the first image to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ecad_automl import Front, apply_schedule, load_model
from ecad_automl.errors import OptionError
from ecad_automl.schedules.schedule_file import load_schedule
from storage import Store, check_database
from studies import SearchConfig
from tests.api.conftest import METHOD

Search = Callable[..., Any]
SEEDS = {**METHOD, "drift_seeds": 2}
CONFIG = SearchConfig(evaluations=9, offspring=3, heuristics="none", steps_from=0.6, **SEEDS)
CALL = {"steps": 8, "config": CONFIG, "guidance_scale": 4.0}


def test_guidance_is_bred_like_all_else(by_call: Search, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "guided.db"
    by_call(database, 12, guidance="search", **CALL)
    by_call(database, 22, **CALL)  # goes on with what it began with
    front = Front.load(database)
    with Store.open(database, read_only=True) as store:
        genomes = store.genomes(front.study)
        schedules = {str(run.genome): genomes.schedule(str(run.genome)) for run in front._study.runs}
    for run in front._study.runs:
        assert run.gmacs == pytest.approx(schedules[str(run.genome)].gmacs)
    of_guidance = [run for run in front._study.runs if not schedules[str(run.genome)].guidance.is_full]
    assert any(run.generation for run in of_guidance)
    assert any("guide" in run.origin for run in of_guidance)
    assert any(run.steps < 8 for run in front._study.runs)
    assert not check_database(database).findings

    wanted = {str(run.genome) for run in of_guidance if run.complete}
    point = next(point for point in front.evaluations if str(point.genome) in wanted)
    (path,) = front.export(tmp_path / "out", point)
    schedule = load_schedule(path).schedule
    assert schedule == point.schedule
    model = load_model(str(tiny_pixart_folder))
    call = {"height": 16, "width": 16, "output_type": "latent", "use_resolution_binning": False, "guidance_scale": 4.0}
    with apply_schedule(model.pipe, path) as run:
        latents = model.pipe("a", **call, **{"num_inference_steps": schedule.steps, **run.arguments}).images
    assert torch.isfinite(latents).all()


def test_interrupted_or_not_it_finds_the_same(by_call: Search, tmp_path: Path) -> None:
    def found(database: Path) -> list[tuple[str, float]]:
        return [(str(run.genome), run.reward) for run in Front.load(database)._study.runs]

    for budget in (9, 15, 18):
        by_call(tmp_path / "parts.db", budget, guidance="search", **CALL)
    by_call(tmp_path / "whole.db", 18, guidance="search", **CALL)
    assert found(tmp_path / "parts.db") == found(tmp_path / "whole.db")


def test_without_a_second_branch_there_is_nothing_to_search(by_call: Search, tmp_path: Path) -> None:
    by_call(tmp_path / "plain.db", 10, guidance="search", **{**CALL, "guidance_scale": 1.0})
    front = Front.load(tmp_path / "plain.db")
    assert not any("guidance" in name for point in front.evaluations for name in [point.origin])


def test_steps_are_fixed_or_not(by_call: Search, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a share of 0.6 of the steps; leave out one"):
        by_call(tmp_path / "both.db", 9, fixed_steps=True, **CALL)
