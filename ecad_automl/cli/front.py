"""``ecad-automl front``: the front of a study as a table."""

from __future__ import annotations

from typing import Annotated

import typer

from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say
from ecad_automl.cli.confirmed import confirmed_of, show_confirmation
from ecad_automl.cli.documents import about_study, searched_figures
from ecad_automl.cli.options import Json, Storage, Study
from ecad_automl.cli.output import new_table, print_json, results
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView


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
        show_confirmation(found, confirmed_of(found), baselines=baselines, json_output=json_output)
    elif json_output:
        print_json(
            {
                "schema": "ecad-automl/front/1",
                **about_study(found),
                "evaluations": len(found.runs),
                "uncached": searched_figures(found.uncached),
                "front": list(map(searched_figures, found.front)),
                "fewer_steps": list(map(searched_figures, found.searched_shorter if baselines else ())),
                "heuristics": list(map(searched_figures, found.heuristics if baselines else ())),
            }
        )
    else:
        _print_front(found, baselines=baselines)


def _print_front(study: StudyView, *, baselines: bool) -> None:
    console, table = results(), new_table()
    for heading in study.figures(study.uncached):
        is_text = heading == "origin"
        two_lines = heading.replace(" ", "\n", 1) if " " in heading else f"\n{heading}"
        table.add_column(two_lines, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")

    def row(run: RunView) -> None:
        # So narrow that it fits 80 columns.
        table.add_row(*(text.replace("± ", "±") for text in study.figures(run).values()))

    for run in study.front:
        row(run)
    if baselines:
        table.add_section()
        for run in (*study.searched_shorter, study.uncached):
            row(run)
        table.add_section()
        for run in study.heuristics:
            row(run)
    say(console, f"Front of {study.name}: {len(study.runs)} schedules evaluated", style="bold")
    console.print(table)
    say(console, "Differences are paired means with 95 % intervals over prompts.", style="dim")
