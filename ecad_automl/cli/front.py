"""``ecad-automl front``: the front of a study as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from ecad_automl.api.terminal import say
from ecad_automl.cli.options import Json, Storage, Study
from ecad_automl.cli.output import new_table, print_json, results
from ecad_automl.cli.runs import compared_heuristics, front_document
from ecad_automl.cli.studies import StoredStudy, read_study
from storage import BaselineRecord, EvaluationRecord

__all__ = ["front"]


def front(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    baselines: Annotated[bool, typer.Option(help="Also list heuristics and fewer-steps runs.")] = True,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Show it on prompts that the search never saw; see `confirm`.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the schedules that no other one beats, the cheapest first, and what they are to be compared with.

    The cost is what the study minimizes: MACs, or the transformer's time.
    """
    found = read_study(storage, study)
    if confirmed:
        from ecad_automl.cli.confirmed import need_confirmation, show_confirmation

        confirmation = need_confirmation(storage, found.name)
        show_confirmation(found, storage, confirmation, baselines=baselines, json_output=json_output)
    elif json_output:
        print_json(front_document(found, storage, baselines=baselines))
    else:
        _print_front(results(), found, baselines=baselines)


def _print_front(console: Console, found: StoredStudy, *, baselines: bool) -> None:
    full, latency = found.uncached.gmacs, found.cost.name == "latency"
    table = new_table()
    timed = ("as\nfast", "\nms") if latency else ()
    for heading in ("\ntrial", "\norigin", *timed, "fewer\nMACs", "\nGMACs", "\nreward", "difference\nto uncached"):
        is_text = heading == "\norigin"
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")

    def row(trial: int | None, origin: str, run: EvaluationRecord | BaselineRecord) -> None:
        spread = "" if run.reward_drop_se is None else f" ±{1.96 * run.reward_drop_se:.4f}"
        cells = [f"{found.speedup(run):.2f}x", f"{found.cost.of(run):.4g}"] if latency else []
        cells += [f"{full / run.gmacs:.2f}x", f"{run.gmacs:.2f}", f"{run.reward:.4f}"]
        table.add_row("" if trial is None else str(trial), origin, *cells, f"{0.0 - run.reward_drop:+.4f}{spread}")

    for record in found.front():
        row(record.trial, record.origin, record)
    if baselines:
        table.add_section()
        for run in sorted(found.baselines.values(), key=found.cost.of):
            row(None, run.name, run)
        table.add_section()
        for record in compared_heuristics(found):
            row(record.trial, record.origin, record)
    say(console, f"Front of {found.name}: {len(found.evaluations)} schedules evaluated", style="bold")
    console.print(table)
    say(console, "Differences are paired means with 95 % intervals over prompts.", style="dim")
