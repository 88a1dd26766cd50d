"""Searches on a tiny pipeline that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PROMPTS

#: What keeps a study small: few seeds, so that a few evaluations reach the second bred generation.
METHOD: dict[str, Any] = {"step_seeds": 2, "drift_seeds": 1, "pool": 40}


@pytest.fixture
def by_command(tiny_pixart_folder: Path, tmp_path: Path, run_cli: Callable[..., Any]) -> Callable[[Path, int], None]:
    """Search with the command line, by a config file, into a database, up to so many evaluations."""
    from ecad_automl.api import SearchFile

    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    tables = {
        "model": {"model": str(tiny_pixart_folder), "steps": 4, "height": 16, "width": 16, "device": "cpu"},
        "prompts": {"prompts": str(tmp_path / "prompts.txt")},
        "reward": {"reward": "fidelity"},
        "search": {"study": "tiny", "offspring": 2, "heuristics": "none", "fixed-steps": True},
        "method": {name.replace("_", "-"): value for name, value in METHOD.items()},
    }
    (tmp_path / "search.toml").write_text(SearchFile.model_validate(tables).to_toml())

    def search(database: Path, evaluations: int) -> None:
        code, _, err = run_cli(
            "search", "--config", tmp_path / "search.toml", "--storage", database, "--evaluations", evaluations
        )
        assert code == 0, err

    return search


@pytest.fixture
def by_call(tiny_pixart_folder: Path) -> Callable[..., Any]:
    """The same search from Python."""
    from ecad_automl import search
    from studies import SearchConfig

    config = SearchConfig(evaluations=9, offspring=2, heuristics="none", steps_from=1.0, **METHOD)

    def run(database: Path, evaluations: int, model: Any = None, **changes: Any) -> Any:
        arguments = {"steps": 4, "height": 16, "width": 16, "study": "tiny", "progress": False, "config": config}
        return search(
            model or str(tiny_pixart_folder),
            PROMPTS,
            storage=database,
            evaluations=evaluations,
            **{**arguments, **changes},
        )

    return run
