"""``export --to``: what other engines take of a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Cli = Callable[..., tuple[int, str, str]]


def test_the_schedules_of_whole_steps_are_written_and_the_others_told(
    made_database: Path, tmp_path: Path, run_cli: Cli
) -> None:
    out = tmp_path / "engine"
    code, told, err = run_cli("export", "--storage", made_database, "--to", "cache-dit", "--trial", "1", "--out", out)
    assert code == 0, err
    (file,) = out.iterdir()
    config = yaml.safe_load(file.read_text())["cache_config"]
    assert config["steps_computation_mask"] == [1, 0, 1, 0]
    assert config["num_inference_steps"] == 4
    assert "computes 2 of 4 steps" in told
    assert f'cache_dit.enable_cache(pipe, **cache_dit.load_configs("{file.name}"))' in told
    assert "Run with cache-dit 1.5.3" in told


def test_what_chooses_within_its_steps_is_refused_or_left_out(
    made_database: Path, tmp_path: Path, run_cli: Cli
) -> None:
    arguments = ("export", "--storage", made_database, "--to", "sglang", "--out", tmp_path / "engine")
    code, _, err = run_cli(*arguments, "--trial", "2")
    assert code == 2
    assert "chooses within its steps, and sglang takes whole steps alone" in " ".join(err.split())
    assert not (tmp_path / "engine").exists()
    code, told, err = run_cli(*arguments, "--json")
    found = json.loads(told)
    assert code == 0, err
    assert [each["steps_computed"] for each in found["schedules"]] == [[1, 0, 1, 0]]
    assert "Not run in SGLang" in found["tested"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "onnx"), "There is no export to 'onnx'; choose one of cache-dit"),
        (("--project",), "--project is for other engines; name one with --to"),
        (("--to", "steps", "--card"), "leave out --to, or --card and --push-to-hub"),
    ],
)
def test_options_that_say_nothing_together_are_refused(
    made_database: Path, run_cli: Cli, options: tuple[str, ...], said: str
) -> None:
    code, _, err = run_cli("export", "--storage", made_database, *options)
    assert code == 2
    assert said in " ".join(err.split())


@pytest.fixture(scope="module")
def database(tiny_pixart_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A short search whose schedules choose within their steps."""
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward
    from studies import SearchConfig, SearchJob, run_search

    path = tmp_path_factory.mktemp("engines") / "study.db"
    model = load_model(str(tiny_pixart_folder), device="cpu")
    model = model.with_settings(steps=4, height=16, width=16, max_sequence_length=8)
    config = SearchConfig(evaluations=6, offspring=4, heuristics="none", step_seeds=0, drift_seeds=4)
    run_search(SearchJob(model, ["a", "b"], load_reward("fidelity"), path, "tiny", config=config, use="reuse"))
    return path


def test_a_projection_is_measured_on_the_prompts_of_the_study(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    code, told, err = run_cli(
        "export", "--storage", database, "--to", "steps", "--project", "--json", "--out", tmp_path / "steps"
    )
    assert code == 0, err
    found = json.loads(told)["schedules"]
    measured = [each for each in found if each["projected_difference"] is not None]
    assert measured
    for each in measured:
        assert each["projected_difference"] <= 0
        assert Path(each["files"][0]).read_text().split() == [
            str(step) for step, computed in enumerate(each["steps_computed"]) if computed
        ]
