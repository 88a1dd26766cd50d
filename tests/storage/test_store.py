from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ecad_automl.errors import StorageError, StudyError
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import BaselineRecord, EvaluationRecord, GenerationRecord, Store

Make = Callable[..., EvaluationRecord]
Execute = Callable[[str], None]

#: One byte, as each database writes it.
BYTE = {"sqlite": "x'00'", "postgresql+psycopg": "decode('00', 'hex')"}


def test_an_evaluation_comes_back_as_it_was(store: Store, make_evaluation: Make) -> None:
    record = make_evaluation(latency_ms=31.5, complete=False)
    store.save_evaluation("study", record)
    again = store.evaluation("study", record.genome)
    assert again == record
    assert list(again.scores) == ["reward", "psnr"]
    for name, values in record.scores.items():
        np.testing.assert_array_equal(again.scores[name], values)


def test_what_is_not_known_stays_unknown(store: Store, make_evaluation: Make) -> None:
    record = make_evaluation(trial=None, reward_drop_se=None, latency_ms=None, scores={})
    store.save_evaluation("study", record)
    assert store.evaluation("study", record.genome) == record
    assert store.evaluation("study", "other") is None
    assert store.evaluation("other", record.genome) is None
    store.save_evaluation("study", make_evaluation("aa", reward_drop_se=float("nan")))
    second = store.evaluation("study", "aa")
    assert second is not None
    assert second.reward_drop_se is None


def test_numbers_of_numpy_are_kept_as_numbers(store: Store, make_evaluation: Make) -> None:
    record = make_evaluation(
        reward=np.float32(0.5), gmacs=np.float64(2.5), trial=np.int64(3), complete=np.bool_(True), seconds=np.float32(1)
    )
    store.save_evaluation("study", record)
    assert store.evaluation("study", record.genome) == record


def test_saving_a_genome_again_replaces_it_in_its_place(store: Store, make_evaluation: Make) -> None:
    for genome in ("aa", "bb", "cc"):
        store.save_evaluation("study", make_evaluation(genome, trial=None))
    store.save_evaluation("study", make_evaluation("aa", trial=7, reward=0.9))
    found = store.evaluations("study")
    assert [(record.genome, record.trial, record.reward) for record in found] == [
        ("aa", 7, 0.9),
        ("bb", None, 0.75),
        ("cc", None, 0.75),
    ]


def test_evaluations_can_be_read_without_their_scores(store: Store, make_evaluation: Make) -> None:
    record = make_evaluation()
    store.save_evaluation("study", record)
    assert store.evaluations("study", scores=False) == [record]
    assert store.evaluations("study", scores=False)[0].scores == {}
    assert store.evaluations("study")[0].scores != {}


def test_a_file_from_before_coefficients_were_fitted_is_read(tmp_path: Path, make_evaluation: Make) -> None:
    path, schedule = tmp_path / "old.db", Schedule.all_compute(Layout("Tiny", (Slot("blocks.0", "attn"),)), 3)
    with Store.open(path) as store:
        store.claim_study("study", {"layout": schedule.layout.to_dict(), "generation": {"steps": 3}})
        store.save_evaluation("study", make_evaluation(schedule.to_genome()))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("alter table ecad_evaluations drop column fitted")
    with Store.open(path, read_only=True) as store:
        assert store.genomes("study").schedule(schedule.to_genome()) == schedule


def test_studies_of_one_file_do_not_mix(store: Store, make_evaluation: Make) -> None:
    store.claim_study("one", {"seed": 0})
    store.claim_study("two", {"seed": 1})
    store.save_evaluation("one", make_evaluation("aa", reward=1.0))
    store.save_evaluation("two", make_evaluation("aa", reward=2.0))
    store.save_calibration("one", "drift", b"1")
    assert store.studies() == ["one", "two"]
    assert [record.reward for record in store.evaluations("one")] == [1.0]
    assert [record.reward for record in store.evaluations("two")] == [2.0]
    assert store.calibration("two", "drift") is None


def test_baselines_come_back_by_name(store: Store) -> None:
    uncached = BaselineRecord("uncached", 20, 100.0, 0.9, scores={"reward": np.array([0.9], np.float32)}, seconds=2.0)
    fewer = BaselineRecord("steps-10", 10, 50.0, 0.8, reward_drop=0.1, reward_drop_se=0.01, latency_ms=9.0)
    for record in (uncached, fewer, uncached):
        store.save_baseline("study", record)
    assert store.baselines("study") == {"uncached": uncached, "steps-10": fewer}
    np.testing.assert_array_equal(store.baselines("study")["uncached"].scores["reward"], np.float32([0.9]))


def test_generations_come_back_in_order(store: Store) -> None:
    later = GenerationRecord(1, 48, hypervolume=0.5, rank_correlation=float("nan"), surrogate_used=True)
    first = GenerationRecord(0, 24, seconds={"ask": 0.1, "fit": np.float32(0.5)})
    store.save_generation("study", later)
    store.save_generation("study", first)
    found = store.generations("study")
    assert [record.generation for record in found] == [0, 1]
    assert found[0].seconds == {"ask": 0.1, "fit": 0.5}
    assert found[0].surrogate_used is False
    assert (found[1].hypervolume, found[1].rank_correlation, found[1].coverage) == (0.5, None, None)
    assert found[1].surrogate_used is True


def test_times_without_a_json_form_are_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="not a object"):
        store.save_generation("study", GenerationRecord(0, 1, seconds={"x": object()}))  # type: ignore[dict-item]
    assert store.generations("study") == []


def test_calibration_bytes_come_back(store: Store) -> None:
    data = bytes(range(256)) * 1000
    store.save_calibration("study", "drift", b"old")
    store.save_calibration("study", "drift", data)
    assert store.calibration("study", "drift") == data
    assert store.calibration("study", "other") is None


def test_a_study_of_the_same_identity_goes_on(location: str) -> None:
    identity = {"model": "a", "size": (256, 256), "seed": np.int64(3), "layout": {"slots": [{"macs": 1}]}}
    with Store.open(location) as store:
        store.claim_study("study", identity)
    with Store.open(location) as store:
        store.claim_study("study", dict(reversed(identity.items())))
        assert store.studies() == ["study"]
        assert store.identity("study") == {
            "model": "a",
            "size": [256, 256],
            "seed": 3,
            "layout": {"slots": [{"macs": 1}]},
        }
        assert store.identity("other") is None


def test_a_study_of_another_identity_is_refused_with_both_values(store: Store) -> None:
    store.claim_study("study", {"model": "a", "seed": 0})
    with pytest.raises(
        StudyError, match=r"'study'.*model \('a' in the study, 'b' now\); seed \(0 in the study, 1 now\)"
    ):
        store.claim_study("study", {"model": "b", "seed": 1})
    assert store.identity("study") == {"model": "a", "seed": 0}
    with pytest.raises(StudyError, match="and 3 more"):
        store.claim_study("study", {name: name for name in "abcdef"})


def test_the_file_is_in_wal_mode_and_may_be_given_as_a_url(path: Path, make_evaluation: Make) -> None:
    with Store.open(f"sqlite:///{path}") as store:
        store.save_evaluation("study", make_evaluation())
        assert store.path == path
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_odd_paths_are_kept(tmp_path: Path, make_evaluation: Make) -> None:
    path = tmp_path / "50% of #1 {x} é.db"
    with Store.open(path) as store:
        store.save_evaluation("study", make_evaluation())
    assert path.is_file()
    with Store.open(path, read_only=True) as store:
        assert len(store.evaluations("study")) == 1


def test_what_is_not_there_is_not_made_where_that_is_not_asked(path: Path) -> None:
    with pytest.raises(StorageError, match=r"There is no study database at .*study\.db"):
        Store.open(path, read_only=True)
    assert not path.exists()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table other (x)")
    with pytest.raises(StorageError, match="holds no study of ecad-automl"):
        Store.open(path, read_only=True)
    with Store.open(path) as store:
        assert store.studies() == []


def test_a_reader_sees_what_a_writer_committed(store: Store, location: str, make_evaluation: Make) -> None:
    with Store.open(location, read_only=True) as reader:
        store.save_evaluation("study", make_evaluation("aa"))
        assert [record.genome for record in reader.evaluations("study")] == ["aa"]
        store.save_evaluation("study", make_evaluation("bb"))
        assert [record.genome for record in reader.evaluations("study")] == ["aa", "bb"]


def test_a_database_of_a_newer_version_is_refused(location: str, execute: Execute) -> None:
    Store.open(location).close()
    execute("update ecad_meta set value = '2'")
    with pytest.raises(StorageError, match=r"newer ecad-automl \(schema 2, this one reads 1\); upgrade"):
        Store.open(location)
    execute("update ecad_meta set value = 'two'")
    with pytest.raises(StorageError, match="schema version 'two'"):
        Store.open(location)
    execute("delete from ecad_meta")
    with pytest.raises(StorageError, match="schema version None"):
        Store.open(location)


def test_damaged_rows_are_a_storage_error(location: str, execute: Execute, make_evaluation: Make) -> None:
    with Store.open(location) as store:
        store.claim_study("study", {"seed": 0})
        store.save_evaluation("study", make_evaluation())
        store.save_generation("study", GenerationRecord(0, 1))
    execute("update ecad_studies set identity = '{'")
    execute(f"update ecad_evaluations set scores = {BYTE[location.partition(':')[0]]}")
    execute("update ecad_generations set seconds = null")
    with Store.open(location) as store:
        for read in (
            lambda: store.identity("study"),
            lambda: store.evaluations("study"),
            lambda: store.generations("study"),
        ):
            with pytest.raises(StorageError, match="damaged"):
                read()
        assert len(store.evaluations("study", scores=False)) == 1


def test_an_error_inside_a_write_leaves_nothing_of_it(store: Store, make_evaluation: Make) -> None:
    store.save_evaluation("study", make_evaluation("aa"))
    with pytest.raises(StorageError):
        store.save_evaluation("study", make_evaluation("aa", origin=object()))
    store.save_evaluation("study", make_evaluation("bb"))
    assert [record.genome for record in store.evaluations("study")] == ["aa", "bb"]


def test_a_closed_store_says_so(location: str, make_evaluation: Make) -> None:
    store = Store.open(location)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.save_evaluation("study", make_evaluation())
    with pytest.raises(StorageError, match="closed"):
        store.evaluations("study")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_from_before_there_were_constraints_is_read(
    tmp_path: Path, make_evaluation: Make, read_only: bool
) -> None:
    path = tmp_path / "old.db"
    with Store.open(path) as store:
        store.save_evaluation("study", make_evaluation())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("alter table ecad_evaluations drop column feasible")
    with Store.open(path, read_only=read_only) as store:
        assert [record.feasible for record in store.evaluations("study")] == [True]
        if not read_only:
            store.save_evaluation("study", make_evaluation(feasible=False))
            assert [record.feasible for record in store.evaluations("study")] == [False]
