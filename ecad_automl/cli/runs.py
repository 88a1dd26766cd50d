"""Runs of a study as the documents of ``--json`` have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecad_automl.cli.documents import ConfirmationDocument, ConfirmedRun, FrontDocument, Run, interval_of
from ecad_automl.cli.studies import StoredStudy
from storage import BaselineRecord, EvaluationRecord, shown
from studies.confirmation import Confirmation, Verdict

__all__ = ["compared_heuristics", "confirmation_document", "fewer_steps", "front_document", "run_facts", "study_facts"]


def study_facts(study: StoredStudy, storage: str) -> dict[str, Any]:
    """What every document on a front says of its study."""
    return {
        "study": study.name,
        "storage": shown(storage),
        "reward": str(study.identity["reward"]),
        "cost": study.cost.name,
        "cost_unit": study.cost.unit,
    }


def run_facts(study: StoredStudy, record: EvaluationRecord | BaselineRecord) -> dict[str, Any]:
    """The values of a :class:`~ecad_automl.cli.documents.Run`."""
    difference = 0.0 - record.reward_drop  # not -0.0
    half = None if record.reward_drop_se is None else 1.96 * record.reward_drop_se
    return {
        "trial": None if isinstance(record, BaselineRecord) else record.trial,
        "origin": record.name if isinstance(record, BaselineRecord) else record.origin,
        "speedup": study.speedup(record),
        "mac_speedup": study.uncached.gmacs / record.gmacs,
        "gmacs": record.gmacs,
        "latency_ms": record.latency_ms,
        "reward": record.reward,
        "difference": difference,
        "difference_interval": interval_of(difference, half),
        "steps": record.steps if isinstance(record, BaselineRecord) else study.steps,
        "genome": None if isinstance(record, BaselineRecord) else record.genome,
    }


def fewer_steps(study: StoredStudy) -> list[BaselineRecord]:
    """Uncached runs of fewer steps, the cheapest first."""
    runs = [run for run in study.baselines.values() if run is not study.uncached]
    return sorted(runs, key=study.cost.of)


def compared_heuristics(study: StoredStudy) -> list[EvaluationRecord]:
    """Published heuristics that are not on the front, in the order of their evaluation."""
    on_front = {record.genome for record in study.front()}
    return [
        record
        for record in study.evaluations
        if record.origin != "bred"
        and not record.origin.startswith(("drift", "init:"))
        and record.genome not in on_front
        and record.origin not in study.baselines
    ]


def front_document(study: StoredStudy, storage: str, *, baselines: bool = True) -> FrontDocument:
    """The front, and what it is to be compared with."""

    def runs(records: list[EvaluationRecord] | list[BaselineRecord]) -> list[Run]:
        return [Run(**run_facts(study, record)) for record in records]

    return FrontDocument(
        **study_facts(study, storage),
        evaluations=len(study.evaluations),
        uncached=Run(**run_facts(study, study.uncached)),
        front=runs(study.front()),
        fewer_steps=runs(fewer_steps(study)) if baselines else [],
        heuristics=runs(compared_heuristics(study)) if baselines else [],
    )


def confirmation_document(
    study: StoredStudy, storage: str, found: Confirmation, *, baselines: bool = True
) -> ConfirmationDocument:
    """The front on unseen prompts."""
    verdicts = found.verdicts
    trials = {record.genome: record.trial for record in study.evaluations if record.trial is not None}
    full = study.cost.of(study.uncached)
    kept, pairs = verdicts.neighbors_kept
    return ConfirmationDocument(
        **study_facts(study, storage),
        prompts=verdicts.prompts,
        seeds=verdicts.seeds,
        missing=found.missing,
        front=[_confirmed(verdict, trials, full) for verdict in verdicts.front],
        others=[_confirmed(verdict, trials, full) for verdict in verdicts.others] if baselines else [],
        survivors=len(verdicts.survivors),
        rank_correlation=verdicts.rank_correlation,
        neighbors=pairs,
        neighbors_kept=kept,
    )


def _confirmed(verdict: Verdict, trials: Mapping[str, int], full: float) -> ConfirmedRun:
    run, winner = verdict.run, verdict.beaten_by
    by = None if winner is None else f"trial {trials[winner.key]}" if winner.key in trials else winner.label
    return ConfirmedRun(
        trial=trials.get(run.key),
        origin=run.label,
        speedup=full / run.cost,
        reward=verdict.reward,
        difference=verdict.difference.mean,
        difference_interval=(verdict.difference.low, verdict.difference.high),
        searched_difference=None if run.searched is None else float(run.searched.mean()),
        front_share=verdict.front_share,
        survives=verdict.survives,
        beaten_by=by,
        beaten_surely=verdict.beaten_surely,
    )
