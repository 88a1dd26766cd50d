"""The Optuna study behind a search: making it, seeding it, and taking up trials that a crash left behind."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from ecad_automl.schedule import Schedule
from studies import attributes
from studies.sampler import ScheduleNSGAIISampler

__all__ = [
    "REWARD",
    "enqueue_seeds",
    "open_study",
    "release_stale",
]

#: The first objective; the second is the cost by its name.
REWARD = "reward"


def open_study(storage: BaseStorage, name: str, sampler: ScheduleNSGAIISampler, cost: str) -> Study:
    """The study of a name, made where it does not exist: maximize the reward, minimize the cost."""
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=sampler,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    if study.metric_names is None:
        with warnings.catch_warnings():
            # Optuna calls it experimental since 3.2; without it the dashboard shows "Objective 0".
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([REWARD, cost])
    return study


def enqueue_seeds(study: Study, seeds: Mapping[str, Schedule]) -> None:
    """Queue the seeds that the study does not hold yet, in order."""
    known = {trial.user_attrs.get(attributes.GENOME) for trial in study.get_trials(deepcopy=False)}
    for origin, schedule in seeds.items():
        genome = schedule.to_hex()
        if genome not in known:
            _enqueue(study, {attributes.GENOME: genome, attributes.ORIGIN: origin, attributes.FILTERED: False})


def release_stale(study: Study) -> int:
    """Fail the trials that an earlier process left running, and queue seeds among them again.

    Returns:
        How many there were.
    """
    stale = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    for trial in stale:
        release(study, trial)
    return len(stale)


def release(study: Study, trial: FrozenTrial) -> None:
    """Fail a trial that was cut off, so that its schedule can be asked again."""
    kept = dict(trial.user_attrs)
    study._storage.set_trial_user_attr(trial._trial_id, attributes.INTERRUPTED, True)
    study.tell(trial.number, state=TrialState.FAIL)
    if kept.get(attributes.ORIGIN, "bred") != "bred":
        _enqueue(study, kept)


def _enqueue(study: Study, found: dict[str, Any]) -> None:
    study.enqueue_trial({}, user_attrs=found)
