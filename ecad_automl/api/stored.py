"""Reading a study to inspect it: the one place where stored rows become what people see. Needs no torch or Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ecad_automl.api.confirmed import confirmed_front, confirmed_runs
from ecad_automl.errors import StudyError
from ecad_automl.judging.statistics import half_width
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.heuristics import is_published
from ecad_automl.schedules.outline import Outline
from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import GenerationView, StudyView
from ecad_automl.wording import option
from storage import BaselineRecord, EvaluationRecord, Store, redacted
from studies import attributes
from studies.confirmation import Confirmation, load_confirmation
from studies.cost import study_cost, study_front
from studies.quality import Scale, hypervolume_curve, worst_of_interest

_UNCACHED = "uncached"
#: Optuna's own; the sampler's class name stands before the colon.
_GENERATION = "%:generation"


def read_study(
    storage: str | Path, name: str | None, sample: str | None = None, *, same_steps: bool = False
) -> StudyView:
    """Read a study; without a name, the only one of the file.

    Args:
        storage: path or URL of the study database.
        name: of the study.
        sample: the prompts and seeds to show as confirmed, see :func:`studies.confirmation.load_confirmation`.
        same_steps: leave out runs of other numbers of steps than the study's, as if there were none.

    Raises:
        StorageError: the database is missing, damaged or cannot be reached.
        StudyError: the study does not exist, was not named where there are several, or has no such evaluation yet.
    """
    with Store.open(storage, read_only=True) as store:
        name, identity = find_study(store, storage, name)
        evaluations = store.evaluations(name, scores=False)
        baselines = store.baselines(name)
        genomes = store.genomes(name)
        if same_steps:
            evaluations = [record for record in evaluations if genomes.steps_of(record.genome) == genomes.steps]
            baselines = {key: record for key, record in baselines.items() if record.steps == genomes.steps}
        if not evaluations or _UNCACHED not in baselines:
            of = f" of its own {genomes.steps} steps" if same_steps else ""
            raise StudyError(f"The study {name!r} has no evaluated schedule{of} yet; run `ecad-automl search` first.")
        return _view(
            redacted(storage),
            name,
            identity,
            genomes,
            evaluations,
            baselines,
            tuple(
                GenerationView(g.generation, g.evaluations, g.rank_correlation, g.coverage, g.surrogate_used)
                for g in store.generations(name)
            ),
            load_confirmation(store, name, sample, same_steps),
            _trial_figures(store, name),
            same_steps,
        )


def find_study(store: Store, storage: str | Path, name: str | None) -> tuple[str, dict[str, Any]]:
    """The name and identity of a study; without a name, of the only one of the file.

    Raises:
        StudyError: the study does not exist, or was not named where there are several.
    """
    names, where = store.studies(), redacted(storage)
    listed = ", ".join(map(repr, names)) or "none"
    if name is None:
        if len(names) != 1:
            raise StudyError(f"{where} holds {len(names)} studies ({listed}); name one of them ({option('study')}).")
        name = names[0]
    identity = store.identity(name)
    if identity is None:
        raise StudyError(f"{where} holds no study {name!r}; it holds {listed}.")
    return name, identity


def _view(
    storage: str,
    name: str,
    identity: dict[str, Any],
    genomes: Genomes,
    evaluations: list[EvaluationRecord],
    baselines: dict[str, BaselineRecord],
    generations: tuple[GenerationView, ...],
    confirmation: Confirmation | None,
    trials: Mapping[int, Mapping[str, Any]],
    same_steps: bool,
) -> StudyView:
    cost, whole = study_cost(identity), partial(Outline.whole, genomes.layout)
    full, timed = baselines[_UNCACHED], "cost" in identity
    on_front = {record.genome for record in study_front(evaluations, identity)}
    prompts = len(identity["prompts"])
    trial_of = {record.genome: record.trial for record in evaluations if record.trial is not None}
    confirmed = {} if confirmation is None else confirmed_runs(confirmation.verdicts, trial_of)

    def view(record: EvaluationRecord | BaselineRecord, key: str, **more: Any) -> RunView:
        error = record.reward_drop_se
        return RunView(
            reward=record.reward,
            difference=0.0 - record.reward_drop,  # not -0.0
            standard_error=math.nan if error is None else error,
            half=None if error is None else half_width(error, prompts),
            gmacs=record.gmacs,
            mac_speedup=full.gmacs / record.gmacs,
            cost=cost(record),
            speedup=cost(full) / cost(record),
            latency_ms=record.latency_ms,
            confirmed=confirmed.get(key),
            **more,
        )

    def evaluated(record: EvaluationRecord) -> RunView:
        return view(
            record,
            record.genome,
            kind=Kind.FRONT if record.genome in on_front else _kind(record),
            origin=record.origin,
            trial=record.trial,
            genome=record.genome,
            outline=genomes.outline(record.genome),
            complete=record.complete,
            feasible=record.feasible,
            created=record.created,
            **(trials.get(record.trial, {}) if record.trial is not None else {}),
        )

    def unseen(key: str, origin: str, value: float) -> RunView:
        """A run that only unseen prompts know: of fewer steps, or a schedule that the search did not evaluate."""
        # MACs and times of whole steps are in the same proportion.
        schedule = None if key.endswith(" steps") else genomes.schedule(key)
        gmacs = value * full.gmacs / cost(full) if schedule is None else schedule.gmacs
        return RunView(
            kind=Kind.STEPS if schedule is None else Kind.HEURISTIC if is_published(origin) else Kind.EVALUATED,
            origin=origin,
            genome=None if schedule is None else key,
            outline=whole(int(key.split(maxsplit=1)[0])) if schedule is None else genomes.outline(key),
            reward=math.nan,
            difference=math.nan,
            gmacs=gmacs,
            mac_speedup=full.gmacs / gmacs,
            cost=value,
            speedup=cost(full) / value,
            latency_ms=value if timed else None,
            confirmed=confirmed[key],
        )

    runs = tuple(map(evaluated, evaluations))
    uncached = view(full, _UNCACHED, kind=Kind.UNCACHED, origin=full.name, outline=whole(full.steps))
    shorter = {
        record.name: view(record, record.name, kind=Kind.STEPS, origin=record.name, outline=whole(record.steps))
        for record in baselines.values()
        if record is not full
    }
    by_key = {run.genome or "": run for run in runs} | shorter
    for verdict in () if confirmation is None else confirmation.verdicts.all:
        key = verdict.run.key
        if key not in by_key:
            by_key[key] = unseen(key, verdict.run.label, verdict.run.cost)
            if by_key[key].kind is Kind.STEPS:
                shorter[key] = by_key[key]
    cheapest = min(evaluations, key=cost)
    floor = worst_of_interest(full.reward, (record.reward for record in baselines.values()), cheapest.reward)
    curve = hypervolume_curve(
        Scale(full.reward, floor, cost(full)),
        [record.reward for record in evaluations],
        [cost(record) for record in evaluations],
        [record.complete and record.feasible for record in evaluations],
    )
    return StudyView(
        name=name,
        storage=storage,
        identity=identity,
        genomes=genomes,
        call=GenerationSettings(**identity["generation"]).call_arguments(),
        cost_name="latency" if timed else "MACs",
        cost_unit="ms per image in the transformer" if timed else "GMACs per image",
        runs=runs,
        uncached=uncached,
        shorter=tuple(sorted(shorter.values(), key=lambda run: run.cost)),
        floor=floor,
        hypervolume=tuple(curve.tolist()),
        generations=generations,
        confirmed=None if confirmation is None else confirmed_front(confirmation, by_key, cost(full), same_steps),
    )


def _kind(record: EvaluationRecord) -> Kind:
    """What a schedule is that is not on the front."""
    if not record.complete:
        return Kind.STOPPED
    if not record.feasible:
        return Kind.INFEASIBLE
    return Kind.HEURISTIC if is_published(record.origin) else Kind.EVALUATED


def _trial_figures(store: Store, study: str) -> dict[int, dict[str, Any]]:
    """What Optuna's tables say of trials beyond our own, by their number, in the terms of a run's view."""
    found: dict[int, dict[str, Any]] = {}
    for name, key, kind in (
        ("operator", attributes.OPERATOR, str),
        ("generation", _GENERATION, int),
        ("filtered", attributes.FILTERED, bool),
        ("predicted_reward", attributes.PREDICTED_REWARD, float),
        ("predicted_std", attributes.PREDICTED_STD, float),
    ):
        for number, value in store.trial_attributes(study, key, system=key == _GENERATION).items():
            if isinstance(value, kind):
                found.setdefault(number, {})[name] = value
    return found
