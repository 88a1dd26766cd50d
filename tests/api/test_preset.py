"""``ecad_automl.search(preset=...)`` means what ``ecad-automl search --preset`` means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecad_automl import search
from ecad_automl.api import read_search_file, resolved_config
from ecad_automl.errors import EcadError
from ecad_automl.presets import preset_path
from storage import Store
from studies import SearchConfig

Cli = Callable[..., tuple[int, str, str]]

TEXTS = ["a large solid red circle", "a small hollow blue square", "a striped cross"]


def test_a_call_with_a_preset_goes_on_with_the_study_of_the_command(
    run_cli: Cli, tiny_folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """By name, the model gets the preset's dtype and scheduler, and the prompts its limit."""
    prompts = tmp_path / "benchmark-prompts.json"
    prompts.write_text(json.dumps([{"id": f"00569{i}-0057", "prompt": text} for i, text in enumerate(TEXTS)]))
    model, named, database = str(tiny_folders("pixart")), f"imagerewarddb={prompts}", tmp_path / "study.db"
    code, _, err = run_cli(
        *("search", "--preset", "pixart-alpha-256", "--model", model, "--prompts", named, "--storage", database),
        *("--reward", "fidelity", "--study", "small", "--height", 16, "--width", 16, "--images-per-prompt", 1),
        *("--steps", 4, "--evaluations", 2, "--offspring", 2),
    )
    assert code == 0, err
    front = search(
        model,
        named,
        preset="pixart-alpha-256",
        reward="fidelity",
        storage=database,
        study="small",
        steps=4,
        height=16,
        width=16,
        images_per_prompt=1,
        evaluations=3,
        config=SearchConfig(offspring=2, evaluations=3),
        progress=False,
    )
    assert len(front.evaluations) >= 3
    with Store.open(database, read_only=True) as store:
        identity = store.identity("small") or {}
    preset = read_search_file(preset_path("pixart-alpha-256")).options()
    assert (identity["dtype"], identity["scheduler"]) == (preset["dtype"], preset["scheduler"])
    assert identity["generation"]["guidance_scale"] == preset["guidance_scale"]
    kept = resolved_config(database)
    assert (kept.prompts.limit, kept.model.scheduler, kept.search.evaluations) == (100, preset["scheduler"], 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"preset": "sdxl"}, "There is no preset 'sdxl'; choose one of flux-dev-1024"),
        ({"prompts": TEXTS}, "There is no model to search"),
        ({"pipe_or_model": "shapes"}, "There are no prompts to search on"),
    ],
)
def test_what_is_missing_is_one_sentence(arguments: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(EcadError, match=says) as caught:
        search(**arguments, storage=tmp_path / "s.db", progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s.db").exists()
