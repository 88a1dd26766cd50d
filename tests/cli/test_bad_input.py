from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule

Cli = Callable[..., tuple[int, str, str]]


def one_sentence(err: str) -> bool:
    """Progress and messages may stand before it."""
    lines = err.strip().splitlines()
    return lines[-1].startswith("Error: ") and err.count("Error: ") == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    "command",
    [
        "search",
        "front",
        "confirm",
        "export",
        "evaluate",
        "generate",
        "bench",
        "describe",
        "plot",
        "report",
        "convert",
        "dashboard",
    ],
)
def test_every_command_explains_itself(run_cli: Cli, command: str) -> None:
    code, out, _ = run_cli(command, "--help")
    assert code == 0
    assert "Usage" in out


def test_an_unknown_model(run_cli: Cli, tmp_path: Path) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text("a cat\n")
    code, _, err = run_cli("search", "--model", "no-such-model", "--prompts", prompts, "--storage", tmp_path / "s.db")
    assert code == 2
    assert one_sentence(err)
    assert "no-such-model" in err
    assert not (tmp_path / "s.db").exists()


def test_missing_weights(run_cli: Cli, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_pixart_folder, broken)
    shutil.rmtree(broken / "transformer")
    prompts = tmp_path / "p.txt"
    prompts.write_text("a cat\n")
    code, _, err = run_cli("search", "--model", broken, "--prompts", prompts, "--storage", tmp_path / "s.db")
    assert code == 2
    assert one_sentence(err)
    assert "could not be loaded" in err


def test_a_budget_below_the_offspring(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("search", "--evaluations", 5, "--offspring", 12, "--storage", tmp_path / "s.db")
    assert code == 2
    assert one_sentence(err)
    assert "below the offspring" in err


@pytest.mark.parametrize("text", ["", "# only a comment\n\n"])
def test_no_prompts_in_a_file(run_cli: Cli, tmp_path: Path, text: str) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text(text)
    code, _, err = run_cli("search", "--prompts", prompts, "--storage", tmp_path / "s.db")
    assert code == 2
    assert one_sentence(err)
    assert "holds no prompt" in err


def test_a_missing_or_binary_prompt_file(run_cli: Cli, tmp_path: Path) -> None:
    assert "There is no prompt file" in run_cli("search", "--prompts", tmp_path / "none.txt")[2]
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    assert "not UTF-8" in run_cli("search", "--prompts", binary)[2]


def test_no_prompts_for_a_model_that_brings_none(run_cli: Cli, tiny_pixart_folder: Path, tmp_path: Path) -> None:
    code, _, err = run_cli("search", "--model", tiny_pixart_folder, "--storage", tmp_path / "s.db")
    assert code == 2
    assert "--prompts" in err


def test_an_unknown_cost_or_reward(run_cli: Cli, tmp_path: Path) -> None:
    assert "'dollars'" in run_cli("search", "--cost", "dollars")[2]
    code, _, err = run_cli("search", "--reward", "beauty", "--storage", tmp_path / "s.db")
    assert code == 2
    assert "'beauty'" in err


def test_a_missing_damaged_or_empty_database(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("front", "--storage", tmp_path / "none.db")
    assert code == 2
    assert one_sentence(err)
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database" * 100)
    code, _, err = run_cli("front", "--storage", f"sqlite:///{damaged}")
    assert code == 2
    assert one_sentence(err)
    assert str(damaged) in err
    code, _, err = run_cli("search", "--storage", f"sqlite:///{damaged}", "--evaluations", 12)
    assert code == 2
    assert one_sentence(err)
    empty = tmp_path / "empty.db"
    sqlite3.connect(empty).close()
    assert run_cli("front", "--storage", empty)[0] == 2


def test_another_kind_of_database(run_cli: Cli) -> None:
    code, _, err = run_cli("front", "--storage", "mysql://host/db")
    assert code == 2
    assert one_sentence(err)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "something/else"}'])
def test_a_damaged_or_foreign_schedule(run_cli: Cli, tmp_path: Path, text: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(text)
    for command in (("describe", path), ("convert", path, tmp_path / "out.json"), ("generate", path)):
        code, _, err = run_cli(*command)
        assert code == 2, command
        assert one_sentence(err)
        assert "schedule.json" in err
    assert not (tmp_path / "out.json").exists()


def test_two_schedules_of_one_name(run_cli: Cli, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_schedule(tmp_path / folder / "same.json", Schedule.all_compute(ecad_layout(4, 0), 4))
    code, _, err = run_cli("generate", tmp_path / "one" / "same.json", tmp_path / "two" / "same.json")
    assert code == 2
    assert one_sentence(err)
    assert "rename one" in err


def test_an_unwritable_place_leaves_nothing_half_written(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("convert", "/dev/null", tmp_path / "x.json")
    assert code == 2
    assert one_sentence(err)
