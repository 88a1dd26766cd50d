"""A study as the plain data of a report; imports neither torch nor Optuna."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from ecad_automl.api.export import file_name_of
from ecad_automl.cli.confirmed import read_confirmation, sentences
from ecad_automl.cli.studies import StoredStudy
from ecad_automl.cli.study_snippet import study_snippet
from ecad_automl.cli.trial_notes import TrialNote, read_trial_notes
from ecad_automl.schedules.schedule_file import software_versions
from ecad_automl.sharing.snippet import literal
from ecad_automl.views.report.data import (
    Confirmed,
    ConfirmedFront,
    GenerationFigures,
    Kind,
    ReportData,
    ScheduleFigures,
    StepsRun,
    Usage,
)
from storage import BaselineRecord, EvaluationRecord, shown
from studies.confirmation import Confirmation, Verdict

__all__ = ["convergence", "report_data"]

#: Stands for the file of a schedule, see :class:`~ecad_automl.views.report.data.Usage`.
_FILE = "{file}"

#: Origins that are published heuristics, see :func:`ecad_automl.schedules.heuristics.default_heuristics`.
_HEURISTICS = ("fora", "pab", "tgate", "random")


def report_data(storage: str, study: StoredStudy) -> ReportData:
    """All that a report tells of a study, but for images.

    Args:
        storage: the study database, as the user named it.
        study: what was read of it.

    Raises:
        StorageError: the database cannot be read.
    """
    confirmation = read_confirmation(storage, study.name)
    trials = {record.genome: record.trial for record in study.evaluations if record.trial is not None}
    confirmed = {} if confirmation is None else _confirmed(confirmation, trials)
    full = study.cost.of(study.uncached)
    return ReportData(
        name=study.name,
        facts=_facts(study),
        versions=software_versions(),
        prompts=tuple(study.identity["prompts"]),
        reward_name=str(study.identity["reward"]),
        cost_name=study.cost.name,
        cost_unit=study.cost.unit,
        full_cost=full,
        full_gmacs=study.uncached.gmacs,
        uncached_reward=study.uncached.reward,
        steps=study.steps,
        layout=study.layout,
        schedules=_schedules(study, confirmed, read_trial_notes(storage, study.name)),
        runs=_runs(study, confirmation, confirmed),
        hypervolume=convergence(study),
        generations=tuple(
            GenerationFigures(g.generation, g.evaluations, g.rank_correlation, g.coverage, g.surrogate_used)
            for g in study.generations
        ),
        usage=_usage(storage, study),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        confirmed=None
        if confirmation is None
        else ConfirmedFront(
            confirmation.verdicts.prompts, confirmation.verdicts.seeds, tuple(sentences(confirmation, full))
        ),
    )


def convergence(study: StoredStudy) -> tuple[float, ...]:
    """Normalized hypervolume after each evaluation; those that were stopped or break a constraint add nothing."""
    from studies.quality import Scale, hypervolume_curve, worst_of_interest

    cost = study.cost.of
    cheapest = min(study.evaluations, key=cost)
    shorter = [record.reward for record in study.baselines.values()]
    floor = worst_of_interest(study.uncached.reward, shorter, cheapest.reward)
    scale = Scale(study.uncached.reward, floor, cost(study.uncached))
    curve = hypervolume_curve(
        scale,
        [record.reward for record in study.evaluations],
        [cost(record) for record in study.evaluations],
        [record.complete and record.feasible for record in study.evaluations],
    )
    return tuple(curve.tolist())


def _facts(study: StoredStudy) -> dict[str, str]:
    identity, generation = study.identity, study.identity["generation"]
    stopped = sum(not record.complete for record in study.evaluations)
    seeds = len(identity["seeds"])
    dates = sorted(record.created for record in study.evaluations)
    first, last = dates[0][:10], dates[-1][:10]
    layout = study.layout
    return {
        "Model": f"{identity['model']}\n{identity['revision']}",
        "Transformer": f"{layout.transformer}\n{len(layout.blocks)} blocks, {len(layout)} slots",
        "Scheduler": f"{identity['scheduler']}\n{study.steps} steps",
        "Images": f"{generation['width']} x {generation['height']} px\nguidance {generation['guidance_scale']:g}",
        "Precision": str(identity["dtype"]),
        "Prompts": f"{len(identity['prompts'])}\n{seeds} seed{'s' * (seeds > 1)} each",
        "Reward": str(identity["reward"]),
        "Cost": f"{study.cost.name}\n{study.cost.of(study.uncached):.4g} {study.cost.unit} uncached",
        "Evaluated": f"{len(study.evaluations)} schedules" + (f"\n{stopped} of them stopped early" if stopped else ""),
        "Searched on": first if first == last else f"{first} to {last}",
    }


def _confirmed(confirmation: Confirmation, trials: Mapping[str, int]) -> dict[str, Confirmed]:
    """What unseen prompts say, by genome or name of the run."""

    def beaten_by(verdict: Verdict) -> str | None:
        winner = verdict.beaten_by
        if winner is None:
            return None
        return f"trial {trials[winner.key]}" if winner.key in trials else winner.label

    return {
        verdict.run.key: Confirmed(
            verdict.difference.mean, verdict.difference.half, verdict.survives, beaten_by(verdict), verdict.front_share
        )
        for verdict in confirmation.verdicts.all
    }


def _schedules(
    study: StoredStudy, confirmed: Mapping[str, Confirmed], notes: Mapping[int, TrialNote]
) -> tuple[ScheduleFigures, ...]:
    """The front, the cheapest first, then all others, oldest first."""
    front = study.front()
    on_front = {record.genome for record in front}
    others = [record for record in study.evaluations if record.genome not in on_front]

    def figures(record: EvaluationRecord, kind: Kind) -> ScheduleFigures:
        note = TrialNote() if record.trial is None else notes.get(record.trial, TrialNote())
        return ScheduleFigures(
            genome=record.genome,
            kind=kind,
            cost=study.cost.of(record),
            gmacs=record.gmacs,
            reward=record.reward,
            difference=0.0 - record.reward_drop,  # not -0.0
            half=_half(record),
            trial=record.trial,
            origin=record.origin,
            operator=note.operator,
            generation=note.generation,
            confirmed=confirmed.get(record.genome),
        )

    return (
        *(figures(record, Kind.FRONT) for record in front),
        *(figures(record, _kind(record)) for record in others),
    )


def _kind(record: EvaluationRecord) -> Kind:
    """What a schedule is that is not on the front."""
    if not record.complete:
        return Kind.STOPPED
    if not record.feasible:
        return Kind.INFEASIBLE
    return Kind.HEURISTIC if record.origin.startswith(_HEURISTICS) else Kind.EVALUATED


def _runs(
    study: StoredStudy, confirmation: Confirmation | None, confirmed: Mapping[str, Confirmed]
) -> tuple[StepsRun, ...]:
    """Uncached runs of fewer steps: those of the search, and those that were only run on unseen prompts."""
    runs = {
        record.name: StepsRun(
            record.name,
            study.cost.of(record),
            record.gmacs,
            0.0 - record.reward_drop,
            _half(record),
            confirmed.get(record.name),
        )
        for record in study.baselines.values()
        if record is not study.uncached
    }
    if confirmation is not None:
        genomes = {record.genome for record in study.evaluations}
        # MACs and times of whole steps are in the same proportion.
        gmacs = study.uncached.gmacs / study.cost.of(study.uncached)
        for verdict in confirmation.verdicts.others:
            run = verdict.run
            if run.key.endswith(" steps") and run.key not in runs and run.key not in genomes:
                runs[run.key] = StepsRun(run.label, run.cost, run.cost * gmacs, confirmed=confirmed[run.key])
    return tuple(sorted(runs.values(), key=lambda run: run.cost))


def _half(record: EvaluationRecord | BaselineRecord) -> float | None:
    return None if record.reward_drop_se is None else 1.96 * record.reward_drop_se


def _usage(storage: str, study: StoredStudy) -> Usage:
    where = f"\\\n  --storage {shlex.quote(shown(storage))} --study {shlex.quote(study.name)}"
    return Usage(
        export=f"ecad-automl export {where} \\\n  --trial {{trial}} --out schedules",
        file=f"schedules/{file_name_of(study.name)}-{{speedup}}x-trial{{trial}}.json",
        snippet=study_snippet(study, _FILE).replace(literal(_FILE), _FILE),  # a literal when the schedule is chosen
        images=f"ecad-automl report {where} \\\n  --images 4",
    )
