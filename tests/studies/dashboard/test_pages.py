"""The storage that the dashboard's pages read: it gives what Optuna's own gives, but reads ended trials once."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from benchmarks.made_up_study import made_up_study
from storage import open_optuna_storage, open_served_storage
from studies.dashboard.pages import PageStorage


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
    own = open_served_storage(database)
    pages = PageStorage(own)
    study = own.get_study_id_from_name(name)
    for _ in range(2):  # the second time, some are kept from the first
        assert [told(trial) for trial in pages.get_all_trials(study)] == [
            told(trial) for trial in own.get_all_trials(study)
        ]
    ended = (TrialState.COMPLETE, TrialState.FAIL)
    assert len(pages.get_all_trials(study, states=ended)) == len(own.get_all_trials(study, states=ended))


def test_what_changes_in_another_process_is_seen(database: Path) -> None:
    pages = PageStorage(open_served_storage(database))
    writer = optuna.load_study(storage=open_optuna_storage(database), study_name="other")
    study = writer._study_id
    before = pages.get_all_trials(study)
    running = before[3]
    assert running.state == TrialState.RUNNING
    writer.tell(3, 2.0)
    writer.tell(writer.ask(), 1.0)
    after = pages.get_all_trials(study)
    assert (after[3].state, after[3].values) == (TrialState.COMPLETE, [2.0])
    assert len(after) == len(before)  # the one that was enqueued was taken
    writer._storage.delete_study(study)
    with pytest.raises(KeyError):
        pages.get_all_trials(study)


def test_ended_trials_are_read_once(database: Path) -> None:
    own = open_served_storage(database)
    pages = PageStorage(own)
    study = own.get_study_id_from_name("made-up")
    asked: list[str] = []
    sa.event.listen(own.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    pages.get_all_trials(study)
    assert any("trial_params" in query for query in asked)
    asked.clear()
    pages.get_all_trials(study)
    assert not any("trial_params" in query for query in asked)


def test_studies_come_without_what_the_sampler_keeps_of_generations(database: Path) -> None:
    own = open_served_storage(database)
    (ours, _), (shown, _) = own.get_all_studies(), PageStorage(own).get_all_studies()
    assert any(":parent:" in key for key in ours.system_attrs)
    assert shown.system_attrs == {key: value for key, value in ours.system_attrs.items() if ":parent:" not in key}
    assert (shown.study_name, shown.user_attrs) == (ours.study_name, ours.user_attrs)
