"""``search --init``: from another study, from schedule files, and from what is of no use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecad_automl.schedules.ecad_format import write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule
from storage import Store
from tests.commands import small_pool

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def search(tiny_pixart_folder: Path, tmp_path: Path) -> Callable[..., list[object]]:
    """The arguments of a search on the tiny pipeline, in a database of this name."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a large solid red circle\na small hollow blue square\n")

    def arguments(name: str, steps: int, evaluations: int, *more: object) -> list[object]:
        return [
            *("search", "--model", tiny_pixart_folder, "--study", name, "--storage", tmp_path / f"{name}.db"),
            *("--prompts", prompts, "--reward", "fidelity", "--steps", steps, "--height", 16, "--width", 16),
            *("--evaluations", evaluations, "--offspring", 4, "--device", "cpu", *more),
            *small_pool(tmp_path),
        ]

    return arguments


def origins(path: Path, study: str) -> dict[str, Schedule]:
    """The evaluated schedules of a study by origin, bred ones left out."""
    with Store.open(path, read_only=True) as store:
        genomes, records = store.genomes(study), store.evaluations(study, scores=False)
    return {record.origin: genomes.schedule(record.genome) for record in records if record.origin != "bred"}


def test_a_study_starts_from_another_one_and_goes_on_without_it(
    run_cli: Cli, search: Callable[..., list[object]], tmp_path: Path
) -> None:
    assert run_cli(*search("old", 6, 14))[0] == 0
    command = search("new", 4, 8, "--init", tmp_path / "old.db", "--init-limit", 4)
    code, out, err = run_cli(*command)
    assert code == 0, err
    assert "Starting from old" in err
    with Store.open(tmp_path / "old.db", read_only=True) as store:
        whole = [record for record in store.evaluations("old", scores=False) if ":" not in record.genome]
    assert f"{len(whole)} evaluations to learn from" in err  # those of its number of steps
    taken = [origin for origin in origins(tmp_path / "new.db", "new") if origin.startswith("init:")]
    assert 2 <= len(taken) <= 4
    assert all(origin.startswith("init:old-trial") for origin in taken)
    (tmp_path / "old.db").unlink()
    code, out, err = run_cli(*search("new", 4, 12, "--init", tmp_path / "old.db", "--init-limit", 4))
    assert code == 0, err
    assert "is not read again" in err
    assert "Done: 14 schedules" in out  # two of them are runs of fewer steps, which the calibration makes anyway
    code, out, _ = run_cli("front", "--storage", tmp_path / "new.db")
    assert code == 0
    assert "init:old-trial" in out


def test_a_study_starts_from_a_folder_with_files_of_ours_and_of_the_ecad_authors(
    run_cli: Cli, search: Callable[..., list[object]], tmp_path: Path
) -> None:
    folder = tmp_path / "schedules"
    folder.mkdir()
    layout = ecad_layout(4, 0)
    theirs, ours = np.zeros((8, len(layout)), dtype=np.bool_), np.zeros((4, len(layout)), dtype=np.bool_)
    theirs[::4], ours[:3] = True, True
    write_ecad(folder / "theirs.json", Schedule(layout, theirs), name="fast")
    save_schedule(folder / "ours.json", Schedule(layout, ours))
    (folder / "note.json").write_text("{}")
    code, _, err = run_cli(*search("new", 4, 4, "--init", folder))
    assert code == 0, err
    assert "Starting from schedules: 2 schedules." in err
    assert "note.json" in err
    found = origins(tmp_path / "new.db", "new")
    assert found["init:theirs"].effective.any(axis=1).tolist() == [True, False, True, False]
    assert found["init:ours"].effective.any(axis=1).tolist() == [True, True, True, False]


def test_what_is_of_no_use_is_refused_in_one_sentence_before_anything_is_made(
    run_cli: Cli, search: Callable[..., list[object]], tmp_path: Path
) -> None:
    foreign = Layout("Mixer", (Slot("blocks.0", "mixer"), Slot("blocks.0", "gate")))
    save_schedule(tmp_path / "foreign.json", Schedule.all_compute(foreign, 5))
    (tmp_path / "damaged.db").write_bytes(b"no database" * 50)
    for source, message in {
        "none.db": "There is nothing at",
        "damaged.db": "is no SQLite file",
        "foreign.json": "cannot start from 'foreign'",
    }.items():
        code, _, err = run_cli(*search("new", 4, 8, "--init", tmp_path / source))
        assert code == 2, source
        assert message in err
        assert err.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in err
        assert not (tmp_path / "new.db").exists()
    assert "--init-limit is -1, but a number of at least 0" in run_cli(*search("new", 4, 8, "--init-limit", -1))[2]
