from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from ecad_automl.errors import StorageError
from storage import EvaluationRecord, Store, open_optuna_storage, optuna_url, storage_faults

Make = Callable[..., EvaluationRecord]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


@contextmanager
def opened(path: str | Path, **options: float) -> Iterator[RDBStorage]:
    storage = open_optuna_storage(path, **options)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def create(storage: RDBStorage) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name="study", directions=["maximize", "minimize"], load_if_exists=True
    )


def test_optuna_and_our_tables_share_a_database_with_interleaved_writes(location: str, make_evaluation: Make) -> None:
    with Store.open(location, busy_seconds=5) as store, opened(location, busy_seconds=5) as storage:
        study = create(storage)
        for index in range(12):
            trial = study.ask()
            store.save_evaluation("study", make_evaluation(f"{index:02x}", trial=None))
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("genome", f"{index:02x}")
            store.save_evaluation("study", make_evaluation(f"{index:02x}", trial=trial.number, reward=x))
            study.tell(trial, [x, 1 - x])
        trials = {trial.number: trial.values[0] for trial in study.get_trials()}
        assert {record.trial: record.reward for record in store.evaluations("study")} == trials
        assert len(trials) == 12
    with Store.open(location, read_only=True) as store, opened(location) as storage:
        assert len(create(storage).trials) == len(store.evaluations("study")) == 12


def test_either_may_make_the_file(path: Path, make_evaluation: Make) -> None:
    with opened(path) as storage:
        create(storage).ask()
        with Store.open(path) as store:
            store.save_evaluation("study", make_evaluation())
    other = path.with_name("other.db")
    with Store.open(other) as store:
        store.save_evaluation("study", make_evaluation())
        with opened(other) as storage:
            create(storage).ask()
    for file in (path, other):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
            assert connection.execute("select count(*) from trials").fetchone() == (1,)
            assert connection.execute("select count(*) from ecad_evaluations").fetchone() == (1,)


WRITER = """
import sys
from storage import EvaluationRecord, Store
with Store.open(sys.argv[1]) as store:
    for index in range(150):
        store.save_evaluation("other", EvaluationRecord(f"{index:08x}", 1.0, 1.0, 0.0))
"""


def test_a_second_writing_process_only_makes_optuna_wait(path: Path) -> None:
    Store.open(path).close()
    with opened(path) as storage:
        study = create(storage)
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stderr=subprocess.PIPE, text=True)
        told = 0
        while child.poll() is None or told < 5:
            trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
            study.tell(trial, [trial.params["x"], 0.0])
            told += 1
        _, errors = child.communicate(timeout=60)
        assert child.returncode == 0, errors
        assert len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE])) == told
    with Store.open(path) as store:
        assert len(store.evaluations("other")) == 150


def test_odd_paths_reach_optuna_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1 {x} é.db"
    with opened(path) as storage:
        create(storage).ask()
    assert path.is_file()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    plain = tmp_path / "plain.db"
    with opened(plain) as storage:
        create(storage).ask()
    again = RDBStorage(optuna_url(plain))
    assert len(create(again).trials) == 1
    again.engine.dispose()


def test_a_locked_file_in_an_optuna_call_is_a_storage_error(path: Path) -> None:
    with opened(path, busy_seconds=0.2) as storage, closing(sqlite3.connect(path)) as other:
        study = create(storage)
        other.execute("begin immediate")
        with pytest.raises(StorageError, match="is locked"), storage_faults(path):
            study.ask()
        other.execute("rollback")
        study.ask()


def test_faults_of_other_kinds_pass_through(path: Path) -> None:
    with pytest.raises(KeyError), storage_faults(path):
        raise KeyError("x")


def test_tables_of_another_optuna_are_a_storage_error(path: Path) -> None:
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update alembic_version set version_num = 'v9.9.9.a'")
    with pytest.raises(StorageError, match="Optuna cannot use the study database"):
        open_optuna_storage(path)
