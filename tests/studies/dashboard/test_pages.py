"""The storage that the dashboard's pages read: what Optuna's own gives, with ended trials read once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks.made_up_study import made_up_study
from storage import open_optuna_storage, open_served_storage
from studies.dashboard.serve import read_ahead


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A study of ours, and one with trials of every state and with values of every kind."""
    path = tmp_path / "study.db"
    made_up_study(path, 16)
    other = optuna.create_study(storage=open_optuna_storage(path), study_name="other", directions=["minimize"])
    trial = other.ask()
    trial.suggest_categorical("kind", ["a", "b"])
    trial.suggest_int("count", 1, 9)
    for step, value in enumerate([0.5, float("inf"), float("nan")]):
        trial.report(value, step)
    other.tell(trial, state=TrialState.PRUNED)
    other.tell(other.ask(), float("-inf"))
    other.tell(other.ask(), state=TrialState.FAIL)
    running = other.ask()
    running.set_user_attr("list", [1, None, "x"])
    other.enqueue_trial({"count": 3}, user_attrs={"why": "asked for"})
    return path


def told(trial: optuna.trial.FrozenTrial) -> dict[str, object]:
    """All that it holds; intermediate values as text, since no NaN equals another."""
    found = vars(trial)
    return {key: repr(value) if "intermediate" in key else value for key, value in found.items()}


@pytest.mark.parametrize("name", ["made-up", "other"])
def test_trials_are_those_of_optunas_own_storage(database: Path, name: str) -> None:
    own, pages = open_optuna_storage(database), open_served_storage(database)
    study = own.get_study_id_from_name(name)
    for _ in range(2):  # the second time, some are kept from the first
        assert [told(trial) for trial in pages.get_all_trials(study)] == [
            told(trial) for trial in own.get_all_trials(study)
        ]
    ended = (TrialState.COMPLETE, TrialState.FAIL)
    assert len(pages.get_all_trials(study, states=ended)) == len(own.get_all_trials(study, states=ended))


def test_what_changes_in_another_process_is_seen(database: Path) -> None:
    pages = open_served_storage(database)
    writer = optuna.load_study(storage=open_optuna_storage(database), study_name="other")
    study = pages.get_study_id_from_name("other")
    before = pages.get_all_trials(study)
    running = before[3]
    assert running.state == TrialState.RUNNING
    writer.tell(3, 2.0)
    writer.tell(writer.ask(), 1.0)
    after = pages.get_all_trials(study)
    assert (after[3].state, after[3].values) == (TrialState.COMPLETE, [2.0])
    assert len(after) == len(before)  # the one that was enqueued was taken
    optuna.delete_study(study_name="other", storage=open_optuna_storage(database))
    with pytest.raises(KeyError):
        pages.get_all_trials(study)


def test_ended_trials_are_read_once(database: Path) -> None:
    pages = open_served_storage(database)
    study = pages.get_study_id_from_name("made-up")
    before = pages.get_all_trials(study, deepcopy=False)
    again = pages.get_all_trials(study, deepcopy=False)
    assert all(one is other for one, other in zip(before, again, strict=True))


def test_reading_ahead_leaves_it_to_the_pages_to_say_what_is_wrong(database: Path) -> None:
    read_ahead(open_served_storage(database))
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("drop table trials")
    read_ahead(open_served_storage(database))
