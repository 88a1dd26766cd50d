from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ecad_automl.api.config_file import read_search_file
from ecad_automl.presets import preset_names, preset_path
from storage import Store
from tests.rewards.image_reward.small import QUICK, write_folder, write_words

Cli = Callable[..., tuple[int, str, str]]

PROMPTS = ["a large solid red circle", "a small hollow blue square"]


@pytest.mark.parametrize(
    ("name", "side", "guidance", "population"),
    [
        ("pixart-alpha-256", 256, 4.5, 72),
        ("pixart-sigma-256", 256, 4.5, 72),
        ("flux-dev-256", 256, 5.0, 24),
        ("flux-dev-1024", 1024, 5.0, 24),
    ],
)
def test_a_preset_is_the_experiment_of_the_paper(name: str, side: int, guidance: float, population: int) -> None:
    options = read_search_file(preset_path(f"{name}-paper")).options()
    ours = read_search_file(preset_path(name)).options()
    assert {key for key in options if options[key] != ours.get(key)} == {
        *("images_per_prompt", "evaluations", "population", "offspring")
    }
    assert 50 <= ours["evaluations"] <= 100
    assert ours["limit"] * ours["images_per_prompt"] <= 300
    assert (options["height"], options["width"], options["steps"]) == (side, side, 20)
    assert (options["guidance_scale"], options["population"], options["offspring"]) == (guidance, *[population] * 2)
    assert (options["limit"], options["images_per_prompt"], options["reward"]) == (100, 10, "image-reward")


def test_there_are_no_other_presets() -> None:
    models = ("flux-dev-1024", "flux-dev-256", "pixart-alpha-256", "pixart-sigma-256")
    of_the_paper = {f"{model}{kind}" for model in models for kind in ("", "-paper")}
    assert set(preset_names()) == {*of_the_paper, "qwen-image-1024"}


@pytest.mark.parametrize(
    ("preset", "family"), [("pixart-alpha-256", "pixart"), ("flux-dev-256", "flux"), ("qwen-image-1024", "qwen-image")]
)
def test_a_preset_runs_in_one_command_on_small_checkpoints_of_its_classes(
    run_cli: Cli, tiny_folders: Callable[[str], Path], tmp_path: Path, preset: str, family: str
) -> None:
    prompts, image_reward = tmp_path / "benchmark-prompts.json", tmp_path / "reward"
    prompts.write_text(json.dumps([{"id": f"00569{i}-0057", "prompt": text} for i, text in enumerate(PROMPTS)]))
    write_folder(image_reward, QUICK)
    write_words(image_reward)
    code, _, err = run_cli(
        *("search", "--preset", preset, "--model", tiny_folders(family), "--storage", tmp_path / "study.db"),
        *("--prompts", f"imagerewarddb={prompts}", "--reward", f"image-reward={image_reward}", "--device", "cpu"),
        *("--study", "small", "--dtype", "float32", "--height", 16, "--width", 16, "--images-per-prompt", 1),
        *("--evaluations", 3, "--offspring", 3, "--steps", 4),
    )
    assert code == 0, err
    assert "2 prompts x 1 images, 4 steps, reward image-reward" in " ".join(err.split())
    with Store.open(tmp_path / "study.db", read_only=True) as store:
        identity = store.identity("small") or {}
    options = read_search_file(preset_path(preset)).options()
    assert identity["generation"]["guidance_scale"] == options["guidance_scale"]
    assert identity["scheduler"] == options["scheduler"]
    assert len(identity["reward_weights"]) == 1


def test_a_scheduler_of_another_class_is_part_of_the_study(
    run_cli: Cli, tiny_pixart_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    arguments = [
        *("search", "--model", tiny_pixart_folder, "--storage", tmp_path / "study.db", "--study", "tiny"),
        *("--prompts", tmp_path / "prompts.txt", "--steps", 4, "--height", 16, "--width", 16, "--device", "cpu"),
        *("--evaluations", 3, "--offspring", 3),
    ]
    assert run_cli(*arguments, "--scheduler", "EulerDiscreteScheduler")[0] == 0
    with Store.open(tmp_path / "study.db", read_only=True) as store:
        assert (store.identity("tiny") or {})["scheduler"] == "EulerDiscreteScheduler"
    code, _, err = run_cli(*arguments)
    assert code == 2
    assert "scheduler" in err
    code, _, err = run_cli(*arguments, "--scheduler", "AutoencoderKL")
    assert code == 2
    assert "There is no scheduler 'AutoencoderKL' in diffusers" in err


def test_an_unknown_preset_is_one_sentence(run_cli: Cli) -> None:
    code, _, err = run_cli("search", "--preset", "sdxl")
    assert code == 2
    assert "There is no preset 'sdxl'; choose one of flux-dev-1024" in err
