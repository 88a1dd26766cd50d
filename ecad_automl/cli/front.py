"""``ecad-automl front``: the front of a study as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecad_automl.cli.options import Storage, Study
from ecad_automl.cli.studies import read_study
from storage import BaselineRecord, EvaluationRecord

__all__ = ["front"]


def front(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    baselines: Annotated[bool, typer.Option(help="Also list heuristics and fewer-steps runs.")] = True,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Show it on prompts that the search never saw; see `confirm`.")
    ] = False,
) -> None:
    """List the schedules that no other one beats, the cheapest first, and what they are to be compared with.

    The cost is what the study minimizes: MACs, or the transformer's time.
    """
    found = read_study(storage, study)
    if confirmed:
        from ecad_automl.cli.confirmed import need_confirmation, print_confirmation

        print_confirmation(Console(), found, need_confirmation(storage, found.name), baselines=baselines)
        return
    full, latency = found.uncached.gmacs, found.cost.name == "latency"
    title = f"Front of {found.name}: {len(found.evaluations)} schedules evaluated"
    table = Table(title=title, title_justify="left")
    timed = ("speedup (time)", "ms") if latency else ()
    for heading in ("trial", "origin", *timed, "speedup (MACs)", "GMACs", "reward", "difference to uncached"):
        table.add_column(heading, justify="left" if heading == "origin" else "right")

    def row(trial: int | None, origin: str, run: EvaluationRecord | BaselineRecord) -> None:
        spread = "" if run.reward_drop_se is None else f" ± {1.96 * run.reward_drop_se:.4f}"
        cells = [f"{found.speedup(run):.2f}x", f"{found.cost.of(run):.4g}"] if latency else []
        cells += [f"{full / run.gmacs:.2f}x", f"{run.gmacs:.2f}", f"{run.reward:.4f}"]
        table.add_row("" if trial is None else str(trial), origin, *cells, f"{0.0 - run.reward_drop:+.4f}{spread}")

    best = found.front()
    for record in best:
        row(record.trial, record.origin, record)
    if baselines:
        table.add_section()
        for run in sorted(found.baselines.values(), key=found.cost.of):
            row(None, run.name, run)
        table.add_section()
        on_front = {record.genome for record in best}
        for record in found.evaluations:
            heuristic = record.origin != "bred" and not record.origin.startswith(("drift", "init:"))
            if heuristic and record.genome not in on_front and record.origin not in found.baselines:
                row(record.trial, record.origin, record)
    Console().print(table)
    Console().print("Differences are paired means with 95 % intervals over prompts.", style="dim")
