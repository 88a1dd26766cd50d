from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from ecad_automl import Front, apply_schedule, load_model
from ecad_automl.api import resolved_config
from ecad_automl.errors import (
    EcadError,
    FileError,
    PromptError,
    RewardError,
    StorageError,
    StudyError,
    UnsupportedModelError,
)
from storage import writer_lock

Search = Callable[..., Any]


def evaluated(database: Path) -> list[tuple[str, float]]:
    return [(point.schedule.to_genome(), point.reward) for point in Front.load(database).evaluations]


def test_a_call_finds_what_the_command_finds(by_command: Search, by_call: Search, tmp_path: Path) -> None:
    by_command(tmp_path / "command.db", 6)
    front = by_call(tmp_path / "call.db", 6)
    assert evaluated(tmp_path / "call.db") == evaluated(tmp_path / "command.db")
    assert len(front.evaluations) >= 6
    assert any(point.origin == "bred" for point in front.evaluations)
    assert [point.schedule for point in front] == [point.schedule for point in Front.load(tmp_path / "command.db")]


@pytest.mark.slow
def test_a_call_goes_on_with_the_study_of_a_command_and_the_command_with_that_of_the_call(
    by_command: Search, by_call: Search, tmp_path: Path
) -> None:
    by_command(tmp_path / "in-turns.db", 4)
    by_call(tmp_path / "in-turns.db", 6)
    by_command(tmp_path / "in-turns.db", 8)
    by_call(tmp_path / "at-once.db", 8)
    assert evaluated(tmp_path / "in-turns.db") == evaluated(tmp_path / "at-once.db")


def test_a_study_goes_on_in_the_space_that_it_began_in(by_call: Search, tmp_path: Path) -> None:
    """Studies of versions that knew no forecasts are like those of reuse."""
    reuse, full = tmp_path / "reuse.db", tmp_path / "full.db"
    by_call(reuse, 4, use="reuse")
    found = by_call(reuse, 10).evaluations
    assert len(found) >= 10
    assert all(point.schedule.is_plain for point in found)
    with pytest.raises(StudyError, match=r"use \(not in the study, 'forecast' now\)"):
        by_call(reuse, 12, use="forecast")
    found = by_call(full, 8).evaluations
    assert not all(point.schedule.is_plain for point in found)
    assert len(by_call(full, 9, use="forecast").evaluations) >= 9
    with pytest.raises(StudyError, match=r"use \('forecast' in the study, left out now\)"):
        by_call(full, 12, use="reuse")


def test_a_call_waits_for_another_search_where_it_is_told_to(by_call: Search, tmp_path: Path) -> None:
    database = tmp_path / "s.db"
    with ThreadPoolExecutor() as pool:
        with writer_lock(database):
            with pytest.raises(StorageError, match="Another search"):
                by_call(database, 4)
            with pytest.raises(StorageError, match="Another search"):
                by_call(database, 4, wait=0.1)
            waiting = pool.submit(by_call, database, 4, wait=True, backup_every=0)
            assert not wait({waiting}, timeout=0.5).done
        assert len(waiting.result().evaluations) >= 4
    assert not database.with_name("s.db.backup").exists()


def test_a_pipeline_is_the_study_of_its_folder_until_its_weights_change(
    by_call: Search, tiny_pixart_folder: Path, tmp_path: Path
) -> None:
    pipe = load_model(str(tiny_pixart_folder), device="cpu").pipe
    by_call(tmp_path / "s.db", 4)
    front = by_call(tmp_path / "s.db", 5, model=pipe)
    assert len(front.evaluations) >= 5
    with torch.no_grad():
        pipe.transformer.transformer_blocks[0].ff.net[2].weight.mul_(1.5)
    with pytest.raises(StudyError, match="revision.*weights-"):
        by_call(tmp_path / "s.db", 6, model=pipe)


def test_a_front_point_applies_to_the_pipeline_that_was_searched(
    by_call: Search, tiny_model: Any, tmp_path: Path
) -> None:
    front = by_call(tmp_path / "s.db", 4, model=tiny_model)
    with apply_schedule(tiny_model.pipe, front[0].schedule):
        images = tiny_model.pipe("a cross", **tiny_model.settings.call_arguments()).images
    assert images[0].size == (16, 16)


def test_a_plain_function_is_a_reward(by_call: Search, tmp_path: Path) -> None:
    given: list[torch.Tensor] = []

    def redness(images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        assert len(images) == len(prompts)
        scores = images[:, 0].mean(dim=(1, 2)) - images[:, 1:].mean(dim=(1, 2, 3))
        given.append(scores)
        return scores

    front = by_call(tmp_path / "s.db", 4, reward=redness, constraints=["fidelity>=-9"])
    assert front.reward_name == "redness"
    assert front.uncached.reward == pytest.approx(float(given[0].mean()))
    assert all(point.feasible for point in front)
    found = resolved_config(tmp_path / "s.db")
    assert found.reward.reward == "redness"
    assert found.reward.constraint == ["fidelity>=-9"]


def test_what_stops_a_search_keeps_what_was_evaluated(by_call: Search, tmp_path: Path) -> None:
    calls = 0

    def stop_me(images: torch.Tensor, prompts: Sequence[str]) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return images.mean(dim=(1, 2, 3)).numpy()

    with pytest.raises(KeyboardInterrupt):
        by_call(tmp_path / "stopped.db", 8, reward=stop_me)
    kept = evaluated(tmp_path / "stopped.db")
    assert 1 <= len(kept) < 5
    assert len(by_call(tmp_path / "stopped.db", 8, reward=stop_me).evaluations) >= 8
    calls = 100
    by_call(tmp_path / "whole.db", 8, reward=stop_me)
    # A seed that was cut off is asked again after the others.
    assert sorted(evaluated(tmp_path / "stopped.db")) == sorted(evaluated(tmp_path / "whole.db"))
    assert evaluated(tmp_path / "whole.db")[: len(kept)] == kept


def test_progress_is_shown_or_not_and_optuna_is_left_as_it_was(
    by_call: Search, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        by_call(tmp_path / "s.db", 4)
        assert capsys.readouterr() == ("", "")
        by_call(tmp_path / "s.db", 5, progress=True)
        assert optuna.logging.get_verbosity() == logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    out, err = capsys.readouterr()
    assert "5 evaluations" in out
    assert "Done: " in out
    assert err == ""


def test_the_settings_of_the_latest_run_are_kept_and_search_again(
    by_command: Search, tmp_path: Path, run_cli: Any
) -> None:
    by_command(tmp_path / "s.db", 4)
    found = resolved_config(tmp_path / "s.db", "tiny")
    assert found.search.evaluations == 4
    assert found.search.seed == 0
    assert found.to_dict()["method"]["step-seeds"] == 2
    assert found.model.guidance_scale is not None
    (tmp_path / "again.toml").write_text(found.to_toml())
    code, _, err = run_cli("search", "--config", tmp_path / "again.toml", "--evaluations", 5)
    assert code == 0
    assert "Study tiny" in err
    assert resolved_config(tmp_path / "s.db").search.evaluations == 5


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"reward": lambda images, prompts: [0.0]}, RewardError, "write it with def"),
        ({"reward": 3}, RewardError, "is a int"),
        ({"reward": Front}, RewardError, r"Front\(\)"),
        ({"reward": "beauty"}, RewardError, "no reward 'beauty'"),
        ({"constraints": "fidelity=1"}, RewardError, "'fidelity=1'"),
        ({"cost": "dollars"}, EcadError, "'dollars'"),
        ({"images_per_prompt": 0}, EcadError, "images_per_prompt is 0, but a number of at least 1"),
        ({"model": 7}, UnsupportedModelError, "The model is a int"),
        ({"model": "no-such-model"}, UnsupportedModelError, "no-such-model"),
        ({"init": "nothing.db"}, FileError, "nothing.db"),
    ],
)
def test_bad_input_is_told_in_one_sentence_and_makes_no_database(
    by_call: Search, tmp_path: Path, changes: dict[str, Any], error: type[EcadError], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        by_call(tmp_path / "s.db", 4, **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.db").exists()


def test_without_progress_what_was_left_out_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ecad_automl import search

    with pytest.raises(UnsupportedModelError):
        search(7, ["a cat", "a cat"], storage=tmp_path / "s.db", progress=False)
    assert caplog.messages == ["1 of 2 prompts were left out, since they occur before."]


@pytest.mark.parametrize(
    ("prompts", "says"),
    [(5, "are a int"), ([], "holds no prompt"), (["a cat", ""], "is empty"), ("none.txt", "none.txt")],
)
def test_prompts_that_are_none(prompts: Any, says: str, tmp_path: Path) -> None:
    from ecad_automl import search

    with pytest.raises(PromptError, match=says):
        search("shapes", prompts, storage=tmp_path / "s.db", progress=False)
