"""The Optuna study behind a search: making it, seeding it, ending its trials, taking up those that a crash left."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.schedules.schedule import Schedule
from storage import EvaluationRecord
from studies import attributes
from studies.bounds import Bounds
from studies.candidates import Candidate

#: The first objective; the second is the cost by its name.
REWARD = "reward"


def open_study(storage: BaseStorage, name: str, cost: str) -> Study:
    """The study of a name, made where it does not exist: maximize the reward, minimize the cost."""
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=["maximize", "minimize"],
        load_if_exists=True,
    )
    if study.metric_names is None:
        with warnings.catch_warnings():
            # Optuna calls it experimental since 3.2; without it the dashboard shows "Objective 0".
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([REWARD, cost])
    return study


def frozen_trial(storage: BaseStorage, trial: Trial) -> FrozenTrial:
    """All that is stored of a trial that was asked for; Optuna's handle lacks what the sampler has written since."""
    study = storage.get_study_id_from_name(trial.study.study_name)
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study, trial.number))


def enqueue_seeds(study: Study, seeds: Mapping[str, Schedule]) -> None:
    """Queue the seeds that the study does not hold yet, in order."""
    # One that was cut off is waiting again, unless a kill came between its end and that.
    trials = [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(attributes.INTERRUPTED)]
    known = {trial.user_attrs.get(attributes.GENOME) for trial in trials}
    for origin, schedule in seeds.items():
        genome = schedule.to_genome()
        if genome not in known:
            found = {attributes.GENOME: genome, attributes.ORIGIN: origin, attributes.FILTERED: False}
            study.enqueue_trial({}, user_attrs=found)


def finish(
    study: Study, candidate: Candidate, record: EvaluationRecord, share: float, bounds: Bounds, full_cost: float
) -> None:
    """Write an evaluated candidate into its trial, and tell Optuna, which takes no attributes after that."""
    trial, schedule = candidate.trial, candidate.schedule
    if attributes.GENERATION not in candidate.frozen.user_attrs:  # a seed
        trial.set_user_attr(attributes.GENERATION, candidate.generation)
        trial.set_user_attr(attributes.SPEEDUP, round(schedule.mac_speedup, 4))
        trial.set_user_attr(attributes.MAC_FRACTION, round(schedule.mac_fraction, 6))
    values = [record.reward, candidate.cost]
    if not record.complete:
        trial.set_user_attr(attributes.EXPECTED_VALUES, values)
        trial.set_user_attr(attributes.IMAGE_SHARE, share)
    predicted = candidate.frozen.user_attrs.get(attributes.PREDICTED_REWARD)
    if record.complete and predicted is not None:
        trial.set_user_attr(attributes.PREDICTION_ERROR, round(record.reward - predicted, 6))
    trial.set_user_attr(attributes.DIFFERENCE, -record.reward_drop)
    trial.set_user_attr(attributes.DIFFERENCE_ERROR, record.reward_drop_se)
    trial.set_user_attr(attributes.SECONDS, round(record.seconds, 3))
    if record.latency_ms is not None:
        trial.set_user_attr(attributes.LATENCY_SPEEDUP, round(full_cost / candidate.cost, 4))
    bounds.write(trial, record)
    if record.complete:
        study.tell(trial, values)
    else:
        study.tell(trial, state=TrialState.PRUNED)
