"""A study before its first candidate: claimed, opened, calibrated, and its seeds queued."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study

from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.rewards import Constraint
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.guidance_errors import GuidanceErrors, guidance_errors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.whole_steps import engine_floor
from storage import Store
from studies import attributes
from studies.bounds import Bounds
from studies.breeding.stale import release_stale
from studies.calibration import calibrate
from studies.config import SearchConfig
from studies.cost import Cost, mac_cost
from studies.deployed import deployed_first, deployed_of, deployed_seeds, deployed_start
from studies.forecast_seeds import ForecastSeeds
from studies.plan_space import PlanSpace
from studies.progress import SearchObserver, SearchStatus, SilentObserver
from studies.sampler import ScheduleNSGAIISampler
from studies.schedule_space import ScheduleSpace
from studies.seeds import (
    UNCACHED,
    fewer_steps,
    first_schedules,
    least_of_interest,
    ready_schedules,
    reuse_errors,
    shorter_schedules,
)
from studies.trials import budget_share, evaluated_trials
from studies.warm_start import WarmStart

#: The first objective; the second is the cost by its name.
REWARD = "reward"


class PreparedStudy:
    """A study that is claimed, opened and calibrated, its seeds queued; what an earlier run left is asked again.

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
        observer: is told of progress.

    Attributes:
        uncached: ``(prompts, seeds)`` rewards.
        fits: whether coefficients are fitted for each candidate.

    Raises:
        StudyError: the study's name belongs to another study.
        StorageError: the file cannot be written.
    """

    def __init__(
        self,
        *,
        name: str,
        identity: Mapping[str, Any],
        store: Store,
        optuna_storage: BaseStorage,
        evaluator: Evaluator,
        layout: Layout,
        config: SearchConfig,
        cost: Cost | None = None,
        constraints: Sequence[Constraint] = (),
        observer: SearchObserver | None = None,
    ) -> None:
        cost = cost or mac_cost(layout)
        self.observer = observer = observer or SilentObserver()
        self.name, self.store, self.optuna_storage = name, store, optuna_storage
        self.evaluator, self.config, self.cost = evaluator, config, cost
        store.claim_study(name, identity)
        self.study = study = _open_study(optuna_storage, name, cost.name)
        if left := release_stale(study):
            observer.message(
                f"{left} evaluation{'s' * (left > 1)} that an earlier run left unfinished will be repeated."
            )
        trials = evaluated_trials(study)
        generation = max(map(ScheduleNSGAIISampler.generation_of, trials), default=0)
        begin = SearchStatus(len(trials), config.evaluations, generation, images=sum(map(budget_share, trials)))

        def progress(text: str) -> None:
            observer.update(replace(begin, text=text))

        progress("uncached run")
        counts = identity.get("step_counts", ())
        drifts, self.scale = calibrate(evaluator, layout, store, name, cost, progress=progress, counts=counts)
        drift = drifts[evaluator.settings.steps]
        if drift.no_response:
            observer.message(
                f"All steps count alike in the drift, which seeds and surrogate go by: {drift.no_response}"
            )
        uncached, steps = evaluator.baseline(), evaluator.settings.steps
        self.uncached = uncached.scores
        self.bounds = bounds = Bounds(constraints, uncached)
        forecasts = identity.get("use") is not None
        weights = {count: Forecasts(of, layout.component_index) for count, of in drifts.items()} if forecasts else {}
        guidance = _guidance(weights, evaluator) if identity.get("guidance") == "search" else {}
        forecasting = {count: ForecastSeeds(of, layout, guidance.get(count)) for count, of in weights.items()}
        start = WarmStart.load(store, name, layout, steps, weights.get(steps), guided=bool(guidance))
        study.set_user_attr(attributes.SOURCES, list(start.sources))
        deploy = identity.get("deploy") is not None
        if deploy:
            start = deployed_start(start)
        least = least_of_interest(cost, steps)
        more: dict[str, Any] = {
            "least": least,
            "evaluated": start.evaluated,
            "log_drop": start.log_drop,
            "margins": bounds.uncached_margins,
            "seed": config.seed,
            "whole_steps": identity.get("use") == "skip",
            "floor": engine_floor(layout) if deploy else None,
            "fits": (fits := "fit" in identity and self._may_fit()),
        }
        self.fits = fits
        progress("schedules of least expected error")
        if counts or guidance:
            more["ready"] = ready_schedules(layout, forecasting, cost, least)
        shorter = [count for count in fewer_steps(steps) if count in drifts] if counts else []
        if deploy:
            more["ready"] = deployed_of(more.get("ready", ()))
            seeds = deployed_first(layout, drift, config, cost, start.seeds)
        else:
            # What is fitted of a run of fewer steps is seldom ahead of what skips as many, so those go in their place.
            seeded = (
                replace(config, step_seeds=config.step_seeds + len(shorter)) if fits and config.step_seeds else config
            )
            seeds = first_schedules(layout, drift, seeded, cost, start.seeds, forecasting.get(steps))
        space: ScheduleSpace
        if counts:
            errors = {count: reuse_errors(of, config) for count, of in drifts.items()}
            space = PlanSpace(layout, steps, cost, self.scale, errors, weights, guidance, **more)
            seeds |= shorter_schedules(layout, shorter, cost, {} if fits else forecasting, least)
        else:
            error = reuse_errors(drift, config)
            space = ScheduleSpace(
                layout, steps, cost, self.scale, error, weights.get(steps), guidance.get(steps), **more
            )
        if deploy:
            seeds = deployed_seeds(seeds)
        elif more["whole_steps"]:
            seeds = {name: each for name, each in seeds.items() if each.computes_whole_steps}
        if fits:  # whatever their damping was
            seeds = {name: space.candidate(space.genes([each])[0]) for name, each in seeds.items()}
        study.sampler = self.sampler = ScheduleNSGAIISampler(space, config, bounds)
        _enqueue_seeds(study, seeds, steps)

    def _may_fit(self) -> bool:
        """Whether coefficients can be fitted in the pipeline; tells why not."""
        reason = self.evaluator.why_not_fitted()
        if reason is not None:
            self.observer.message(f"Nothing is fitted: {reason}")
        return reason is None


def _guidance(weights: Mapping[int, Forecasts], evaluator: Evaluator) -> dict[int, GuidanceErrors]:
    """By number of steps, what comes of leaving a guidance branch out; nothing where there is none to leave out."""
    scale = evaluator.settings.classifier_free_guidance
    found = {count: guidance_errors(of, scale) for count, of in weights.items()}
    return {count: errors for count, errors in found.items() if errors is not None}


def _open_study(storage: BaseStorage, name: str, cost: str) -> Study:
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


def _enqueue_seeds(study: Study, seeds: Mapping[str, Schedule], steps: int) -> None:
    """Queue the seeds that the study does not hold yet, in order, but first those whose images there are anyway."""
    # One that was cut off is waiting again, unless a kill came between its end and that.
    trials = [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(attributes.INTERRUPTED)]
    known = {trial.user_attrs.get(attributes.GENOME) for trial in trials}
    made = {origin for origin, schedule in seeds.items() if schedule.steps != steps and schedule.mac_fraction == 1.0}
    for origin, schedule in sorted(seeds.items(), key=lambda item: item[0] not in {UNCACHED, *made}):
        genome = write_genome(schedule, steps)
        if genome not in known:
            found = {attributes.GENOME: genome, attributes.ORIGIN: origin, attributes.FILTERED: False}
            if origin in made:
                found[attributes.CALIBRATED] = True
            study.enqueue_trial({}, user_attrs=found)
