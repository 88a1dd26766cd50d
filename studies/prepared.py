"""A study before its first candidate: claimed, opened, calibrated, and its seeds queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.study import Study

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.rewards import Constraint
from ecad_automl.schedules.layout import Layout
from storage import Store
from studies import attributes
from studies.bounds import Bounds
from studies.breeding.stale import release_stale
from studies.calibration import calibrate
from studies.config import SearchConfig
from studies.cost import Cost, mac_cost
from studies.quality import Scale
from studies.sampler import ScheduleNSGAIISampler
from studies.schedule_space import ScheduleSpace
from studies.seeds import first_schedules, reuse_errors
from studies.status import SearchObserver, SearchStatus
from studies.study import enqueue_seeds, open_study
from studies.trials import evaluated_trials, image_share
from studies.warm_start import WarmStart


@dataclass(frozen=True, eq=False, kw_only=True)
class StudySetup:
    """A study to search, new or begun.

    Args:
        name: of the study.
        identity: what its results depend on.
        store: our tables.
        optuna_storage: Optuna's, in the same file; nobody else may write to the study meanwhile.
        evaluator: generates and scores what the calibration needs, and candidates too unless an executor does.
        layout: the slots of the evaluator's transformer, with MACs.
        config: the settings.
        cost: what is minimized; MACs if None.
        constraints: what schedules must meet to be on the front; the evaluator measures their metrics.
    """

    name: str
    identity: Mapping[str, Any]
    store: Store
    optuna_storage: BaseStorage
    evaluator: Evaluator
    layout: Layout
    config: SearchConfig
    cost: Cost | None = None
    constraints: Sequence[Constraint] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedStudy(StudySetup):
    """One that is claimed, opened and calibrated, its seeds queued.

    Args:
        study: Optuna's.
        sampler: of the study.
        cost: what is minimized.
        scale: of rewards and costs.
        uncached: ``(prompts, seeds)`` rewards of the uncached run.
        bounds: the constraints.
    """

    study: Study
    sampler: ScheduleNSGAIISampler
    cost: Cost
    scale: Scale
    uncached: NDArray[np.float64]
    bounds: Bounds


def prepare(setup: StudySetup, observer: SearchObserver) -> PreparedStudy:
    """Begin a study, or go on with one; what an earlier run left unfinished is asked again.

    Raises:
        StudyError: the study's name belongs to another study.
    """
    name, store, config, layout, evaluator = setup.name, setup.store, setup.config, setup.layout, setup.evaluator
    cost = setup.cost or mac_cost(layout)
    store.claim_study(name, setup.identity)
    study = open_study(setup.optuna_storage, name, cost.name)
    if left := release_stale(study):
        observer.message(f"{left} evaluation{'s' * (left > 1)} that an earlier run left unfinished will be repeated.")
    trials = evaluated_trials(study)
    generation = max(map(ScheduleNSGAIISampler.generation_of, trials), default=0)
    begin = SearchStatus(len(trials), config.evaluations, generation, images=sum(map(image_share, trials)))

    def progress(text: str) -> None:
        observer.update(replace(begin, text=text))

    progress("uncached run")
    calibration = calibrate(evaluator, layout, store, name, cost, progress=progress)
    if calibration.drift.no_response:
        observer.message(
            f"All steps count alike in the drift, which seeds and surrogate go by: {calibration.drift.no_response}"
        )
    uncached, steps = evaluator.baseline(), evaluator.settings.steps
    bounds = Bounds(setup.constraints, uncached)
    start = WarmStart.load(store, name, layout, steps)
    study.set_user_attr(attributes.SOURCES, list(start.sources))
    space = ScheduleSpace(
        layout,
        steps,
        cost,
        calibration.scale,
        reuse_errors(calibration.drift, config),
        prior=start.prior,
        margins=bounds.uncached_margins,
        seed=config.seed,
    )
    study.sampler = sampler = ScheduleNSGAIISampler(space, config, bounds)
    enqueue_seeds(study, first_schedules(layout, calibration.drift, config, cost, start.seeds))
    given = {item.name: getattr(setup, item.name) for item in fields(setup)}
    return PreparedStudy(
        **{**given, "cost": cost},
        study=study,
        sampler=sampler,
        scale=calibration.scale,
        uncached=uncached.scores,
        bounds=bounds,
    )
