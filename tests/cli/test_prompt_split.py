from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from storage import Store

Cli = Callable[..., tuple[int, str, str]]

KINDS = [f"a {size} {color} {shape}" for size in ("large", "small") for color in ("red", "blue") for shape in ("circle",
         "square", "cross")]  # fmt: skip


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.csv"
    path.write_text("\n".join(["prompt,category", *(f"{text},{text.split()[-1]}" for text in KINDS)]))
    return path


@pytest.fixture
def searched(run_cli: Cli, tiny_pixart_folder: Path, prompts: Path, tmp_path: Path) -> Path:
    """A study that looked at six of twelve prompts."""
    database = tmp_path / "study.db"
    code, _, err = run_cli(
        *("search", "--model", tiny_pixart_folder, "--storage", database, "--study", "tiny", "--device", "cpu"),
        *("--prompts", prompts, "--calibration-prompts", 6, "--reward", "fidelity", "--steps", 4, "--height", 16),
        *("--width", 16, "--evaluations", 4, "--offspring", 4),
    )
    assert code == 0, err
    return database


def test_a_search_looks_at_its_part_of_the_prompts_and_confirm_at_the_rest(run_cli: Cli, searched: Path) -> None:
    code, out, err = run_cli("confirm", "--storage", searched, "--device", "cpu")
    assert code == 0, err
    with Store.open(searched, read_only=True) as store:
        seen = (store.identity("tiny") or {})["prompts"]
        confirmed = store.confirmations("tiny")
    assert len(seen) == 6
    assert sorted(text.split()[-1] for text in seen) == ["circle"] * 2 + ["cross"] * 2 + ["square"] * 2
    assert {record.prompts for record in confirmed} == {6}
    assert "6 prompts x 1 seed that the search did not use" in " ".join(f"{out} {err}".split())


def test_prompts_that_have_changed_since_are_refused(run_cli: Cli, searched: Path, prompts: Path) -> None:
    prompts.write_text(prompts.read_text().replace("a large red circle", "a large green circle"))
    code, _, err = run_cli("confirm", "--storage", searched, "--device", "cpu")
    assert code == 2
    assert "The prompts are not those that were recorded" in err


def test_bundled_prompts_are_not_split_again(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("search", "--calibration-prompts", 6, "--storage", tmp_path / "s.db")
    assert code == 2
    assert "Only prompts that are named" in err
    assert not (tmp_path / "s.db").exists()
