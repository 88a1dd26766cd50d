"""What a search reads of its trials is what is in the database."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from storage import open_optuna_storage
from storage.sole_writer import SoleWriterStorage


@pytest.fixture(params=["known tables", "tables of another version"])
def study(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    if request.param != "known tables":
        monkeypatch.setattr("storage.whole_trials._TABLES", 0)
    storage = SoleWriterStorage(open_optuna_storage(tmp_path / "study.db"))
    sampler = optuna.samplers.NSGAIISampler(seed=0, population_size=4)
    return optuna.create_study(
        storage=storage, study_name="s", directions=["maximize", "minimize"], sampler=sampler, load_if_exists=True
    )


def check(study: optuna.Study, path: Path) -> None:
    plain = optuna.load_study(study_name="s", storage=open_optuna_storage(path / "study.db"))
    ours, theirs = study.trials, plain.trials
    assert [trial.state for trial in ours] == [trial.state for trial in theirs]
    assert ours == theirs
    assert [trial.distributions for trial in ours] == [trial.distributions for trial in theirs]
    read = SoleWriterStorage(plain._storage).get_all_trials(plain._study_id)  # type: ignore[arg-type]
    assert read == theirs
    assert [(trial._trial_id, trial.distributions) for trial in read] == [
        (trial._trial_id, trial.distributions) for trial in theirs
    ]
    for trial in ours:
        assert study._storage.get_trial(trial._trial_id) == plain._storage.get_trial(trial._trial_id)


def test_trials_in_memory_are_those_of_the_database_whatever_is_done(study: optuna.Study, tmp_path: Path) -> None:
    study.enqueue_trial({"x": 0.5}, user_attrs={"genome": "ff"})
    check(study, tmp_path)
    open_trials = []
    for number in range(12):
        trial = study.ask()
        x, kind = trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"])
        trial.set_user_attr("number", number)
        trial.set_user_attr("later", {"list": [number]})
        trial.set_constraint("c", x - 0.5)
        study._storage.set_trial_intermediate_value(trial._trial_id, 3, float("inf") if number == 2 else x)
        study._storage.set_trial_system_attr(trial._trial_id, "own", number)
        if number % 4 == 1:
            open_trials.append(trial)
        elif number % 4 == 2:
            study.tell(trial, state=TrialState.FAIL)
        elif number % 4 == 3:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [x, 1.0 if kind == "a" else 2.0])
        check(study, tmp_path)
    for trial in open_trials:
        study.tell(trial, [0.0, 0.0])
    check(study, tmp_path)
    assert study.best_trials


def test_a_trial_that_was_given_out_does_not_change(study: optuna.Study) -> None:
    trial = study.ask()
    (before,) = study.get_trials(deepcopy=False)
    trial.set_user_attr("key", [1])
    trial.suggest_float("x", 0, 1)
    assert before.user_attrs == before.params == {}
    given = study.get_trials(deepcopy=False)[0].user_attrs
    study.tell(trial, [1.0, 2.0])
    assert before.state is TrialState.RUNNING
    assert given == {"key": [1]}
    assert study.trials[0].values == [1.0, 2.0]


def test_what_another_process_has_begun_is_there_from_the_start(study: optuna.Study, tmp_path: Path) -> None:
    waiting, running = study.ask(), study.ask()
    study.tell(waiting, [1.0, 1.0])
    again = optuna.load_study(study_name="s", storage=SoleWriterStorage(open_optuna_storage(tmp_path / "study.db")))
    again.tell(running.number, state=TrialState.FAIL)
    assert [trial.state.name for trial in again.trials] == ["COMPLETE", "FAIL"]
    check(again, tmp_path)


def test_another_writer_is_noticed(study: optuna.Study, tmp_path: Path) -> None:
    study.ask()
    optuna.load_study(study_name="s", storage=open_optuna_storage(tmp_path / "study.db")).ask()
    with pytest.raises(AssertionError, match="another process writes"):
        study.ask()


def test_a_study_can_be_deleted(study: optuna.Study) -> None:
    study.ask()
    optuna.delete_study(study_name="s", storage=study._storage)
    assert study._storage.get_all_studies() == []


def test_what_is_written_together_is_there_as_if_it_had_been_written_one_by_one(
    study: optuna.Study, tmp_path: Path
) -> None:
    for number, state in enumerate([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]):
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params={"x": 0.5, "kind": "b"},
            distributions={
                "x": optuna.distributions.FloatDistribution(0, 1),
                "kind": optuna.distributions.CategoricalDistribution(["a", "b"]),
            },
            user_attrs={"genome": "ff", "number": 0},
            system_attrs={"own:generation": 3},
        )
        trial = optuna.trial.Trial(study, storage_of(study).create_new_trial(study._study_id, template))
        assert trial.number == number
        check(study, tmp_path)
        with storage_of(study).together(trial._trial_id):
            trial.set_user_attr("number", number)
            trial.set_user_attr("later", {"list": [number]})
            trial.set_constraint("c", -0.5)
            study.tell(trial, [0.5, float("inf")] if state is TrialState.COMPLETE else None, state=state)
        check(study, tmp_path)
        assert study.trials[number].state is state
        assert study.trials[number].user_attrs == {"genome": "ff", "number": number, "later": {"list": [number]}}
        with pytest.raises(ValueError, match="Cannot tell"), storage_of(study).together(trial._trial_id):
            study.tell(trial, [0.0, 0.0])


def test_a_finished_trial_cannot_be_finished_again_by_its_id(study: optuna.Study) -> None:
    trial = study.ask()
    study.tell(trial, [1.0, 2.0])
    storage = storage_of(study)
    with storage.together(trial._trial_id), pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    assert study.trials[0].values == [1.0, 2.0]


def storage_of(study: optuna.Study) -> SoleWriterStorage:
    storage = study._storage
    assert isinstance(storage, SoleWriterStorage)
    return storage
