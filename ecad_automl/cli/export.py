"""``ecad-automl export``: schedules of a study as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ecad_automl.api.export import export_record
from ecad_automl.cli.confirmed import need_confirmation, read_confirmation
from ecad_automl.cli.options import Out, Storage, Study
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.errors import StudyError
from storage import EvaluationRecord, choose_by_drop, choose_by_speedup, choose_trial, knee
from studies.verdicts import Verdict

__all__ = ["export", "export_record"]


def export(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    speedup: Annotated[
        float | None, typer.Option(help="Best schedule at least this many times cheaper in what the study minimizes.")
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Cheapest schedule that loses at most this much reward.")
    ] = None,
    knee_point: Annotated[bool, typer.Option("--knee", help="The schedule where the front bends most.")] = False,
    trial: Annotated[int | None, typer.Option(help="The schedule of this trial.")] = None,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Choose among what survived, by its reward on unseen prompts.")
    ] = False,
    out: Out = Path("schedules"),
) -> None:
    """Write schedules as JSON files: the one chosen by an option, or the whole front.

    Where the front was confirmed, the files have the confirmed figures too.
    """
    chosen = [option for option in (speedup, max_drop, trial, knee_point or None) if option is not None]
    if len(chosen) > 1:
        raise StudyError("Choose by one of --speedup, --max-drop, --knee and --trial, or by none for the whole front.")
    found = read_study(storage, study)
    confirmation = need_confirmation(storage, found.name) if confirmed else read_confirmation(storage, found.name)
    verdicts = {v.run.key: v for v in confirmation.verdicts.all} if confirmation else {}
    front, cost = found.front(), found.cost.of
    if confirmed:
        front = _confirmed_front(front, verdicts)
    if speedup is not None:
        records = [choose_by_speedup(front, speedup, cost(found.uncached), cost)]
    elif max_drop is not None:
        records = [choose_by_drop(front, max_drop, cost)]
    elif trial is not None:
        records = [choose_trial(found.evaluations, trial)]
    else:
        records = [knee(front, cost)] if knee_point else front
    console = Console()
    for record in records:
        verdict = verdicts.get(record.genome)
        searched = found.evaluation(record.genome)
        path = export_record(found, searched, out, verdict)
        told = "" if verdict is None else f", {verdict.difference.mean:+.4f} ± {verdict.difference.half:.4f} confirmed"
        console.print(
            f"{path}: {_savings(found, record)}, reward {0.0 - searched.reward_drop:+.4f} to uncached{told}",
            highlight=False,
            soft_wrap=True,
        )


def _confirmed_front(front: list[EvaluationRecord], verdicts: Mapping[str, Verdict]) -> list[EvaluationRecord]:
    """What survived, with its rewards on unseen prompts.

    Raises:
        StudyError: nothing did.
    """
    confirmed = [(record, verdicts[record.genome]) for record in front if record.genome in verdicts]
    survived = [
        replace(record, reward=verdict.reward, reward_drop=0.0 - verdict.difference.mean)
        for record, verdict in confirmed
        if verdict.survives
    ]
    if not survived:
        raise StudyError("No schedule of the front survived on unseen prompts; search on, then confirm again.")
    return survived


def _savings(study: StoredStudy, record: EvaluationRecord) -> str:
    macs = f"{study.uncached.gmacs / record.gmacs:.2f}x fewer MACs"
    return macs if study.cost.name == "MACs" else f"{study.speedup(record):.2f}x as fast, {macs}"
