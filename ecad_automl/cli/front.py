"""``ecad-automl front``: the front of a study as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecad_automl.cli.options import Storage, Study
from ecad_automl.cli.studies import read_study

__all__ = ["front"]


def front(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    baselines: Annotated[bool, typer.Option(help="Also list heuristics and fewer-steps runs.")] = True,
) -> None:
    """List the schedules that no other one beats, the cheapest first, and what they are to be compared with."""
    found = read_study(storage, study)
    full = found.uncached.gmacs
    table = Table(title=f"Front of {found.name}: {len(found.evaluations)} schedules evaluated", title_justify="left")
    for heading in ("trial", "origin", "speedup (MACs)", "GMACs", "reward", "difference to uncached"):
        table.add_column(heading, justify="left" if heading == "origin" else "right")

    def row(trial: int | None, origin: str, gmacs: float, reward: float, drop: float, error: float | None) -> None:
        spread = "" if error is None else f" ± {1.96 * error:.4f}"
        number = "" if trial is None else str(trial)
        table.add_row(
            number, origin, f"{full / gmacs:.2f}x", f"{gmacs:.2f}", f"{reward:.4f}", f"{0.0 - drop:+.4f}{spread}"
        )

    for record in found.front():
        row(record.trial, record.origin, record.gmacs, record.reward, record.reward_drop, record.reward_drop_se)
    if baselines:
        table.add_section()
        for run in sorted(found.baselines.values(), key=lambda run: run.gmacs):
            row(None, run.name, run.gmacs, run.reward, run.reward_drop, run.reward_drop_se)
        table.add_section()
        on_front = {record.genome for record in found.front()}
        for record in found.evaluations:
            heuristic = record.origin != "bred" and not record.origin.startswith("drift")
            if heuristic and record.genome not in on_front and record.origin not in found.baselines:
                row(record.trial, record.origin, record.gmacs, record.reward, record.reward_drop, record.reward_drop_se)
    Console().print(table)
    Console().print("Differences are paired means with 95 % intervals over prompts.", style="dim")
