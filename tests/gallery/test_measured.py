"""Measured schedules of the gallery, and how they come to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ecad_automl.gallery
from ecad_automl.schedules.schedule_file import ScheduleFile, load_schedule, schedule_sha256
from ecad_automl.sharing.submission import FOLDER, folder_of, lacks
from storage import ConfirmationRecord, Store
from tests.cli.made_up_study import FULL, IDENTITY, SCHEDULES, STEPS, save_study

Cli = Callable[..., tuple[int, str, str]]

MEASURED = Path(ecad_automl.gallery.__file__).parent / "measured"
MODEL = {"model": "owner/Made-Up", "revision": "0123456789abcdef0123456789abcdef01234567"}


def _faults(folder: Path) -> dict[str, list[str]]:
    """What is wrong with the files of a gallery, by file."""
    found: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for path in sorted(folder.rglob("*.json")):
        file, name = load_schedule(path), path.relative_to(folder).as_posix()
        wrong = lacks(file)
        if f"{FOLDER}/{name}" != f"{folder_of(str(file.metadata.model))}/{path.name}":
            wrong.append("it is not in the folder of its model")
        if (other := seen.setdefault(schedule_sha256(file.schedule), name)) != name:
            wrong.append(f"{other} does the same")
        found |= {name: wrong} if wrong else {}
    return found


def test_measured_schedules_lack_nothing() -> None:
    assert _faults(MEASURED) == {}
    assert "four boxes to fill in" in " ".join((MEASURED / "README.md").read_text(encoding="utf-8").split())


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A confirmed study in which the dearer schedule survives."""
    path = tmp_path / "made.db"
    save_study(path, {**IDENTITY, **MODEL}, SCHEDULES)
    _confirm(path, 24)
    return path


def _confirm(path: Path, prompts: int) -> None:
    runs: dict[str, tuple[str, int, float, float]] = {
        FULL.to_genome(): ("uncached", STEPS, FULL.gmacs, 1.0),
        "2 steps": ("2 steps", 2, FULL.gmacs / 2, 0.9),
    }
    runs |= {
        schedule.to_genome(): (origin, STEPS, schedule.gmacs, {"fora-2": 0.2, "bred": 0.99}[origin])
        for origin, schedule in SCHEDULES.items()
        if origin != "stopped"
    }
    with Store.open(path) as store:
        for run, (origin, steps, gmacs, mean) in runs.items():
            scores = {"made-up": np.linspace(mean - 0.01, mean + 0.01, prompts, dtype=np.float32)}
            store.save_confirmation(
                "made", ConfirmationRecord("s", run, origin, steps, prompts, 1, gmacs, scores=scores)
            )


def test_a_submission_is_what_the_gallery_takes(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    out = tmp_path / "submission"
    code, said, error = run_cli("report", "--storage", database, "--submit", out, "--json")
    assert code == 0, error
    document = json.loads(said)
    (file,) = document["schedules"]
    assert Path(file).parent == out / FOLDER / "made-up"
    assert _faults(out / FOLDER) == {}
    assert load_schedule(file).schedule == SCHEDULES["bred"]
    text = Path(document["text"]).read_text(encoding="utf-8")
    assert text.startswith("Measured schedules for owner\\/Made\\-Up\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert any(f"{FOLDER}/made-up/{Path(file).name}" in row and "-0.0100" in row for row in rows)
    assert any(row.startswith("| 2 steps |") and "-0.1000" in row for row in rows)
    assert any("24 other prompts" in row for row in rows)
    assert text.count("- [ ]") == 4

    code, _, error = run_cli("report", "--storage", database, "--submit", out)
    assert code == 2 and f"There is a {file} already" in error


def test_what_nobody_else_could_use_is_not_submitted(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    def refused(path: Path, *more: Any) -> str:
        code, _, error = run_cli("report", "--storage", path, "--submit", tmp_path / "out", *more)
        assert code == 2 and not (tmp_path / "out").exists()
        return " ".join(error.split())

    assert "leave out --images, --format and --out" in refused(database, "--images", 1)
    plain = tmp_path / "plain.db"
    save_study(plain, {**IDENTITY, "revision": "folder-0"}, SCHEDULES)
    assert "was not confirmed yet" in refused(plain)
    _confirm(plain, 5)
    told = refused(plain)
    assert "others cannot load; search a model of the hub by its id" in told
    assert "it was scored on 5 images of unseen prompts, and 24 at least are needed" in told


def test_a_file_says_what_it_lacks(database: Path, tmp_path: Path, run_cli: Cli) -> None:
    run_cli("report", "--storage", database, "--submit", tmp_path)
    (path,) = (tmp_path / FOLDER).rglob("*.json")
    file = load_schedule(path)

    def without(**changed: Any) -> ScheduleFile:
        return replace(file, metadata=file.metadata.model_copy(update=changed))

    assert lacks(file) == []
    assert lacks(without(versions={}, dtype=None)) == [
        "it does not tell dtype, versions; export it from its study anew"
    ]
    assert lacks(without(survives=False)) == [
        "another run of at most its cost is better on unseen prompts; leave it out"
    ]
    assert lacks(without(revision="folder-0123"))[0].startswith(
        "its model is 'owner/Made-Up' of revision 'folder-0123'"
    )
