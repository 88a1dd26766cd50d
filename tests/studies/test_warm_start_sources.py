from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecad_automl.errors import EcadError, FileError, StorageError, StudyError
from ecad_automl.schedules.ecad_format import write_ecad
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule
from storage import BaselineRecord, EvaluationRecord, Store
from studies.warm_start import read_source
from tests.studies.conftest import small_layout

STEPS = 6


def schedule(every: int, layout: Layout | None = None) -> Schedule:
    layout = layout or small_layout()
    compute = np.zeros((STEPS, len(layout)), dtype=np.bool_)
    compute[::every] = True
    return Schedule(layout, compute)


def write_study(path: Path, name: str = "old", *, evaluations: bool = True, layout: bool = True) -> None:
    identity = {"generation": {"steps": STEPS}, **({"layout": small_layout().to_dict()} if layout else {})}
    with Store.open(path) as store:
        store.claim_study(name, identity)
        store.save_baseline(name, BaselineRecord("uncached", STEPS, 6.6, 5.0))
        if not evaluations:
            return
        for trial, (every, reward, complete) in enumerate(
            [(1, 5.0, True), (2, 4.0, True), (3, 4.5, True), (6, 1.0, True), (5, 9.0, False)]
        ):
            one = schedule(every)
            store.save_evaluation(
                name, EvaluationRecord(one.to_genome(), one.gmacs, reward, 5.0 - reward, trial=trial, complete=complete)
            )


def test_of_a_study_the_front_makes_the_seeds_and_all_complete_evaluations_are_known(tmp_path: Path) -> None:
    write_study(tmp_path / "old.db")
    for location in (tmp_path / "old.db", f"sqlite:///{tmp_path}/old.db"):
        known = read_source(location)
        assert known.name == "old"
        assert known.seeds == (("old-trial3", schedule(6)), ("old-trial2", schedule(3)), ("old-trial0", schedule(1)))
        assert known.evaluated == (schedule(1), schedule(2), schedule(3), schedule(6))
        assert known.rewards.tolist() == [5.0, 4.0, 4.5, 1.0]
        assert known.uncached == 5.0


def test_one_of_several_studies_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.db"
    write_study(path, "old")
    write_study(path, "other")
    assert read_source(f"{path}#other").name == "other"
    assert read_source(f"sqlite:///{path}#old").name == "old"
    with pytest.raises(StudyError, match=r"holds 2 studies \('old', 'other'\); name one as .*two.db#NAME"):
        read_source(path)
    with pytest.raises(StudyError, match="holds no study 'none'"):
        read_source(f"{path}#none")


def test_a_number_sign_may_be_part_of_a_file_name(tmp_path: Path) -> None:
    write_study(tmp_path / "a#b.db")
    assert read_source(tmp_path / "a#b.db").name == "old"
    assert read_source(f"sqlite:///{tmp_path}/a#b.db").name == "old"


def test_studies_that_say_too_little_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path / "empty.db", evaluations=False)
    with pytest.raises(StudyError, match="no evaluated schedule yet"):
        read_source(tmp_path / "empty.db")
    write_study(tmp_path / "bare.db", layout=False)
    with pytest.raises(StorageError, match="does not say which slots"):
        read_source(tmp_path / "bare.db")


def test_files_of_ours_and_of_the_ecad_authors_are_seeds(tmp_path: Path) -> None:
    layout = ecad_layout(2, 0)
    write_ecad(tmp_path / "a-theirs.json", schedule(3, layout), name="fast")
    save_schedule(tmp_path / "b-ours.json", schedule(2))
    known = read_source(tmp_path)
    assert known.name == tmp_path.name
    assert known.seeds == (("a-theirs", schedule(3, layout)), ("b-ours", schedule(2)))
    assert not known.evaluated
    assert not known.notes
    assert read_source(tmp_path / "a-theirs.json").seeds == known.seeds[:1]


def test_in_a_folder_what_is_of_no_use_is_left_out_and_named(tmp_path: Path) -> None:
    save_schedule(tmp_path / "good.json", schedule(2))
    (tmp_path / "damaged.json").write_text("{")
    (tmp_path / "bench.json").write_text('{"rows": []}')
    known = read_source(tmp_path)
    assert [name for name, _ in known.seeds] == ["good"]
    assert len(known.notes) == 2
    assert "bench.json" in known.notes[0]
    assert "damaged.json" in known.notes[1]


def test_places_without_schedules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is nothing at .*none.db"):
        read_source(tmp_path / "none.db")
    with pytest.raises(FileError, match="it has no .json file"):
        read_source(tmp_path)
    (tmp_path / "damaged.json").write_text("{")
    with pytest.raises(FileError, match="the first of 1 files says: .*damaged.json"):
        read_source(tmp_path)
    with pytest.raises(EcadError, match="damaged"):
        read_source(tmp_path / "damaged.json")
    (tmp_path / "no.db").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="no.db is no SQLite file"):
        read_source(tmp_path / "no.db")
