"""A study before its first candidate: claimed, opened, calibrated, and its seeds queued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from studies.cost import Cost
from studies.quality import Scale
from studies.sampler import ScheduleNSGAIISampler
from studies.schedule_space import ScheduleSpace
from studies.seeds import first_schedules, reuse_errors
from studies.status import SearchObserver, SearchStatus
from studies.study import enqueue_seeds, open_study
from studies.trials import evaluated_trials, image_share
from studies.warm_start import WarmStart


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedStudy:
    """A study that is claimed, opened and calibrated, its seeds queued. ``uncached``: ``(prompts, seeds)`` rewards."""

    name: str
    store: Store
    optuna_storage: BaseStorage
    evaluator: Evaluator
    config: SearchConfig
    cost: Cost
    study: Study
    sampler: ScheduleNSGAIISampler
    scale: Scale
    uncached: NDArray[np.float64]
    bounds: Bounds


def prepare(
    name: str,
    identity: Mapping[str, Any],
    store: Store,
    optuna_storage: BaseStorage,
    evaluator: Evaluator,
    layout: Layout,
    config: SearchConfig,
    cost: Cost,
    constraints: Sequence[Constraint],
    observer: SearchObserver,
) -> PreparedStudy:
    """Begin a study, or go on with one; what an earlier run left unfinished is asked again.

    See :func:`~studies.search.search_study`.
    """
    store.claim_study(name, identity)
    study = open_study(optuna_storage, name, cost.name)
    if left := release_stale(study):
        observer.message(f"{left} evaluation{'s' * (left > 1)} that an earlier run left unfinished will be repeated.")
    trials = evaluated_trials(study)
    generation = max(map(ScheduleNSGAIISampler.generation_of, trials), default=0)
    begin = SearchStatus(len(trials), config.evaluations, generation, images=sum(map(image_share, trials)))

    def progress(text: str) -> None:
        observer.update(replace(begin, text=text))

    progress("uncached run")
    drift, scale = calibrate(evaluator, layout, store, name, cost, progress=progress)
    if drift.no_response:
        observer.message(f"All steps count alike in the drift, which seeds and surrogate go by: {drift.no_response}")
    uncached, steps = evaluator.baseline(), evaluator.settings.steps
    bounds = Bounds(constraints, uncached)
    start = WarmStart.load(store, name, layout, steps)
    study.set_user_attr(attributes.SOURCES, list(start.sources))
    space = ScheduleSpace(
        layout,
        steps,
        cost,
        scale,
        reuse_errors(drift, config),
        prior=start.prior,
        margins=bounds.uncached_margins,
        seed=config.seed,
    )
    study.sampler = sampler = ScheduleNSGAIISampler(space, config, bounds)
    enqueue_seeds(study, first_schedules(layout, drift, config, cost, start.seeds))
    return PreparedStudy(
        name=name,
        store=store,
        optuna_storage=optuna_storage,
        evaluator=evaluator,
        config=config,
        cost=cost,
        study=study,
        sampler=sampler,
        scale=scale,
        uncached=uncached.scores,
        bounds=bounds,
    )
