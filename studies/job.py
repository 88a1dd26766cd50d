"""A whole search from a loaded model to a filled study database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ecad_automl.errors import EvaluationError, OptionError
from ecad_automl.execution import Execution, Executor, WorkerSetup
from ecad_automl.files.paths import expand_home
from ecad_automl.judging.evaluation import Evaluator
from ecad_automl.judging.fits import FIT_IMAGES
from ecad_automl.models import CHANGED, LoadedModel, model_layout
from ecad_automl.models.memory import running_device
from ecad_automl.rewards import Constraint, PairedReward, Reward, weights_of
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule_file import relevant_scheduler_config
from storage import Backups, Store, optuna_storage, storage_faults, writer_lock
from studies.calibration import latency_model
from studies.config import SETTINGS, Deploy, GuidanceUse, LatencySettings, SearchConfig, Use
from studies.cost import Cost, latency_cost, mac_cost
from studies.prepared import PreparedStudy
from studies.progress import SearchObserver, SearchStatus, SilentObserver
from studies.search import search_study
from studies.seeds import searched_steps
from studies.threads import cores, fitting_threads
from studies.warm_start import Source, WarmStart, is_started

#: What a split of the prompts is kept under.
PROMPT_SPLIT = "prompt split"

#: What the identity of a study calls its cost where that is not MACs.
LATENCY = "latency"


@dataclass(frozen=True)
class SearchJob:
    """What to search for.

    Args:
        model: the pipeline and how it is called.
        prompts: the prompts that schedules are judged on.
        reward: what judges them.
        storage: path or URL of the study database.
        study: name of the study in it.
        seeds: noise seeds; each prompt gets one image per seed.
        batch_size: images per pipeline call.
        config: settings of the search itself.
        latency: minimize the latency of a calibrated model instead of MACs.
        init: what it starts from, see :func:`~studies.warm_start.read_source`: seeds, and what the surrogate learns
            from first. A study that has begun goes on with what it began with, whatever stands here.
        init_limit: how many of their schedules to evaluate at most.
        constraints: what schedules must meet to be on the front, each with what measures it.
        prompt_split: how the prompts were split from others that are held out, kept for whoever confirms the front.
        settings: how the user asked for this search, kept in the study in place of those of earlier runs.
        wait: seconds to wait at most for another search on the same file, or on the same study of a server.
        backup_every: generations between two backups of the study file; 0 makes none.
        execution: where candidates are evaluated.
        use: what may stand in for computing; if None, what the study began with, forecasts where it has not.
        guidance: what may be done about guidance; if None, what the study began with, all there is where it has not.
            Where a pipeline has no second branch, or schedules only reuse, there is nothing to be done.
        deploy: whether schedules are for other engines, which compute whole steps by one mask; if None, what the study
            began with, and not where it has not. Then outputs are neither forecast nor guidance branches left out.
        fit: whether coefficients are fitted for each candidate, see
            :meth:`~ecad_automl.judging.evaluation.Evaluator.fitted`; if None, what the study began with, and where it
            has not, they are. A pipeline that does not let it goes without, which is told.
        reward_given: the name that the reward was loaded by, for workers that load it too; None where it is an object.
    """

    model: LoadedModel
    prompts: Sequence[str]
    reward: Reward | PairedReward
    storage: str | Path
    study: str
    seeds: Sequence[int] = (0,)
    batch_size: int = 8
    config: SearchConfig = field(default_factory=SearchConfig)
    latency: LatencySettings | None = None
    init: Sequence[Source] = ()
    init_limit: int = 24
    constraints: Sequence[tuple[Constraint, Reward | PairedReward]] = ()
    prompt_split: bytes | None = None
    settings: bytes | None = None
    wait: float = 0.0
    backup_every: int = 1
    execution: Execution = field(default_factory=Execution)
    use: Use | None = None
    guidance: GuidanceUse | None = None
    deploy: Deploy | None = None
    fit: bool | None = None
    reward_given: str | None = None


def run_search(job: SearchJob, observer: SearchObserver | None = None) -> SearchStatus:
    """Run, or go on with, a search until its budget is spent.

    Everything evaluated is kept whatever ends the run; the same call goes on where it stopped.

    Raises:
        EcadError: of the kind that names what is wrong; see :func:`~studies.search.search_study` and
            :class:`~ecad_automl.judging.evaluation.Evaluator`.
    """
    job.execution.check_installed()
    evaluator = Evaluator(
        job.model.pipe,
        job.prompts,
        job.seeds,
        job.reward,
        job.model.settings,
        batch_size=job.batch_size,
        metrics={constraint.metric: scorer for constraint, scorer in job.constraints},
        calls=job.model.calls,
    )
    layout = model_layout(job.model)
    observer = observer or SilentObserver()
    identity = study_identity(job, layout)
    known = [source.moved(layout, job.model.settings.steps) for source in job.init]
    with (
        evaluator,
        writer_lock(job.storage, job.study, wait=job.wait, waiting=observer.message) as lock,
        Store.open(job.storage, lock=lock) as store,
        storage_faults(job.storage),
        optuna_storage(job.storage) as trials,
    ):
        # Before anything is timed for a study of this name, it must be known to be ours.
        kept = store.identity(job.study)
        for part, given in (
            ("deploy", job.deploy),
            ("use", job.use if job.deploy is None else "skip"),
            ("guidance", job.guidance if job.deploy is None else "keep"),
            ("step_counts", job.config.steps_from),
            ("fit", job.fit),
        ):
            if given is None and kept is not None:
                identity = {**_without(identity, part), **({part: kept[part]} if part in kept else {})}
        identity = as_stored(identity, kept)
        store.claim_study(job.study, identity)
        if job.prompt_split is not None:
            store.save_calibration(job.study, PROMPT_SPLIT, job.prompt_split)
        if job.settings is not None:
            store.save_calibration(job.study, SETTINGS, job.settings)
        started = is_started(store, job.study)
        cost = _cost(job, layout, store, observer)
        if known and not started:
            WarmStart.from_sources(known, cost, job.init_limit).save(store, job.study)
        executor = _workers(job)
        # A latency model is of as many threads as the pipeline will have.
        alone = executor is None and job.latency is None and str(running_device(job.model.pipe)) == "cpu"
        setup = _setup_for_each_core(job) if alone else None
        threads = fitting_threads(
            evaluator,
            layout,
            store,
            job.study,
            observer,
            started=started,
            processes=1 if setup is None else min(cores(), job.config.offspring),
            evaluations=job.config.evaluations,
        )
        with threads if alone else nullcontext(0) as processes, ExitStack() as stack:
            if setup is not None and processes > 1:
                made = replace(setup, threads=1, reference=evaluator.reference_images.numpy())
                executor = _loading(made, processes, stack)
            prepared = PreparedStudy(
                evaluator=evaluator,
                layout=layout,
                store=store,
                optuna_storage=trials,
                name=job.study,
                identity=identity,
                # What is found must not depend on the machine.
                config=job.config if processes < 2 else replace(job.config, asynchronous=False),
                cost=cost,
                constraints=[constraint for constraint, _ in job.constraints],
                observer=observer,
            )
            backups = Backups(job.storage, job.backup_every)
            return search_study(prepared, executor=executor, after_generation=backups.after_generation)


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def as_stored(identity: dict[str, Any], kept: Mapping[str, Any] | None) -> dict[str, Any]:
    """An identity with the layout of a stored one, where that differs only by not telling of guidance branches."""
    if kept is None or kept.get("layout") != _without_branches(identity["layout"]):
        return identity
    return {**identity, "layout": kept["layout"]}


def _without_branches(layout: dict[str, Any]) -> dict[str, Any]:
    """A layout as it was written before it told of guidance branches."""
    slots = [_without(slot, "conditional") for slot in layout["slots"]]
    return {**_without(layout, "conditional"), "sample": _without(layout["sample"], "calls"), "slots": slots}


def _workers(job: SearchJob) -> Callable[[], Executor] | None:
    """What starts the workers; None where the search evaluates by itself.

    Raises:
        EvaluationError: workers elsewhere could not load what the search has.
    """
    if job.execution.executor == "local":
        return None
    setup, pipe = _worker_setup(job), job.model.pipe

    def start() -> Executor:
        if pipe.device.type == "cuda" and job.model.offload is None:
            # Calibrated by now: a worker may need the memory.
            pipe.to("cpu")
            torch.cuda.empty_cache()
        return job.execution.start(setup)

    return start


def _setup_for_each_core(job: SearchJob) -> WorkerSetup | None:
    """What processes that nobody has asked for would load; None where they could not."""
    if job.model.calls is not None:  # which may need more than lies in the model's folder
        return None
    try:
        return _worker_setup(job)
    except EvaluationError:
        return None


def _loading(setup: WorkerSetup, processes: int, stack: ExitStack) -> Callable[[], Executor]:
    """Gives processes that begin to load now, while this one calibrates, and are ended with the stack at the latest."""
    executor = stack.enter_context(closing(Execution("processes", processes).start(setup)))
    return lambda: executor


def _worker_setup(job: SearchJob) -> WorkerSetup:
    """What workers load.

    Raises:
        EvaluationError: they could not load what the search has.
    """
    model, pipe = job.model, job.model.pipe
    if model.revision.startswith(CHANGED):
        raise EvaluationError(
            f"The pipeline {model.name} was changed in memory, and workers load it from disk; save it with "
            "save_pretrained and search with that folder."
        )
    if job.reward_given is None:
        raise EvaluationError(
            f"The reward {job.reward.name} was given as an object, and workers load rewards by name; give a name such "
            "as 'fidelity' or your own 'module:attribute'."
        )
    return WorkerSetup(
        model=model.name,
        prompts=list(job.prompts),
        seeds=list(job.seeds),
        reward=job.reward_given,
        metrics=[constraint.metric for constraint, _ in job.constraints],
        generation=model.settings,
        batch_size=job.batch_size,
        scheduler=type(pipe.scheduler).__name__,
        revision=None if expand_home(model.name).is_dir() else model.revision,
        dtype=str(pipe.transformer.dtype).removeprefix("torch."),
        device=str(running_device(pipe)),
        offload=model.offload,
        weights=model.revision,
        calls=model.calls,
        kind=None if model.calls is None else type(pipe).__name__,
    )


def _cost(job: SearchJob, layout: Layout, store: Store, observer: SearchObserver) -> Cost:
    if job.latency is None:
        return mac_cost(layout)
    model = latency_model(job.model, layout, job.latency, store, job.study, observer, job.config.evaluations)
    return latency_cost(model, job.latency.batch_size)


def step_counts(job: SearchJob) -> list[int]:
    """The shorter runs that are searched.

    Raises:
        OptionError: latency is minimized, whose model is of one number of steps.
    """
    if job.config.steps_from is None and (job.use == "reuse" or job.latency is not None):
        return []
    counts = searched_steps(job.model.settings.steps, job.config.steps_from)
    if job.latency is not None and counts:
        raise OptionError("Shorter runs are searched by MACs alone; leave out either steps_from or the latency.")
    return counts


def _use(job: SearchJob) -> Use:
    """What may stand in for computing, where the study has not begun.

    Raises:
        OptionError: other engines do not do what was asked for.
    """
    if job.deploy is None:
        return job.use or "forecast"
    for name, given, taken in (("use", job.use, "skip"), ("guidance", job.guidance, "keep")):
        if given not in (None, taken):
            raise OptionError(
                f"Schedules for other engines (deploy {job.deploy}) are of {name} {taken}, but {name} {given} was "
                "asked for; leave one of them out."
            )
    return "skip"


def may_fit(job: SearchJob) -> bool:
    """Whether candidates are fitted, where the pipeline lets them and the study has not begun otherwise."""
    return job.fit is not False and job.deploy is None and _use(job) != "reuse"


def study_identity(job: SearchJob, layout: Layout) -> dict[str, Any]:
    """All that the results of a study depend on, as JSON values: a study goes on only with the same.

    The settings of the search (budget, offspring, seed) are left out: a later run may choose others.
    """
    scheduler = job.model.pipe.scheduler
    use = _use(job)
    # Studies that minimize MACs say nothing of it, since they did so before there was a choice.
    cost = {"cost": {"name": LATENCY, "batch_size": job.latency.batch_size}} if job.latency else {}
    constraints = {"constraints": [str(constraint) for constraint, _ in job.constraints]} if job.constraints else {}
    scorers = [job.reward, *(scorer for _, scorer in job.constraints)]
    # A name says where weights are, not what they are.
    digests = [weights.digest for scorer in scorers for weights in weights_of(scorer)]
    return {
        "model": job.model.name,
        "revision": job.model.revision,
        "pipeline": type(job.model.pipe).__name__,
        "transformer": layout.transformer,
        "layout": layout.to_dict(),
        "dtype": str(job.model.pipe.transformer.dtype).removeprefix("torch."),
        "scheduler": type(scheduler).__name__,
        "scheduler_config": relevant_scheduler_config(scheduler.config),
        "generation": job.model.settings.to_dict(),
        "prompts": list(job.prompts),
        "prompts_hash": hashlib.blake2b(json.dumps(list(job.prompts)).encode(), digest_size=8).hexdigest(),
        "seeds": list(job.seeds),
        **({"calls": job.model.calls.identity} if job.model.calls else {}),
        "reward": job.reward.name,
        **cost,
        **constraints,
        # Studies that reuse alone say nothing of it either.
        **({} if use == "reuse" else {"use": use}),
        **({} if job.deploy is None else {"deploy": job.deploy}),
        # Nor do studies of runs of all steps alone, with both guidance branches.
        **({"step_counts": counts} if (counts := step_counts(job)) else {}),
        **({"guidance": "search"} if use != "reuse" and job.guidance != "keep" and job.deploy is None else {}),
        **({"fit": FIT_IMAGES} if may_fit(job) else {}),
        **({"reward_weights": digests} if digests else {}),
    }
