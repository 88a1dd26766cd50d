"""``ecad-automl front``: the front of a study, in the search or on unseen prompts, as a table or a document.

Keys of documents, which docs/command-line.md shows, are never taken away or renamed within a version of a schema; new
ones may come. What is not known is null.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say
from ecad_automl.cli.options import Json, SameSteps, Storage, Study
from ecad_automl.cli.output import new_table, print_json, print_table, results
from ecad_automl.errors import StudyError
from ecad_automl.views.run import RunView, interval_text
from ecad_automl.views.study import ConfirmedFront, StudyView

_ON_UNSEEN_PROMPTS = (
    *("reward", "difference", "difference_interval", "searched_difference", "front_share"),
    *("survives", "beaten_by", "beaten_surely"),
)
_RUN = (
    *("trial", "origin", "speedup", "mac_speedup", "gmacs", "latency_ms"),
    *("reward", "difference", "difference_interval"),
)
_CONFIRMED = ("in the\nsearch", "\nconfirmed", "on the\nfront", "\nsurvives")
#: What columns of steps and slots say.
_COLUMNS = {
    "run": "Run: steps in which the transformer is entered.",
    "guided": "Guided: those of both guidance branches.",
    "slots": "Slots: share computed in the steps that are run.",
}


def front(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    baselines: Annotated[bool, typer.Option(help="Also list heuristics and fewer-steps runs.")] = True,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Show it on prompts that the search never saw; see `confirm`.")
    ] = False,
    same_steps: SameSteps = False,
    json_output: Json = False,
) -> None:
    """List the schedules that no other one beats, the cheapest first, and what they are to be compared with.

    The cost is what the study minimizes: MACs, or the transformer's time.
    """
    found = read_study(storage, study, same_steps=same_steps)
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
                "recommended": recommended_figures(found),
                "fewer_steps": list(map(searched_figures, found.searched_shorter if baselines else ())),
                "heuristics": list(map(searched_figures, found.heuristics if baselines else ())),
            }
        )
    else:
        _print_front(found, baselines=baselines)


def _print_front(study: StudyView, *, baselines: bool) -> None:
    console, table = results(), new_table()
    headings = list(study.figures(study.uncached))
    for heading in headings:
        is_text = heading == "origin"
        two_lines = heading.replace(" ", "\n", 1) if " " in heading else f"\n{heading}"
        table.add_column(two_lines, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")

    chosen = study.recommended

    def row(run: RunView) -> None:
        figures = study.figures(run)
        if chosen is not None and run is chosen.run:
            figures["trial"] = f"{figures['trial']}*"
        # So narrow that it fits 80 columns.
        table.add_row(*(text.replace("± ", "±") for text in figures.values()))

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
    print_table(console, table)
    say_recommended(console, study)
    told = [text for heading, text in _COLUMNS.items() if heading in headings]
    say(console, " ".join(("Differences are paired means with 95 % intervals over prompts.", *told)), style="dim")


def say_recommended(console: Console, study: StudyView) -> None:
    """Say which schedule to take, and why."""
    if study.recommended is not None:
        say(console, f"* Recommended: {study.recommended}.", style="bold")


def recommended_figures(study: StudyView) -> dict[str, Any] | None:
    """What documents say of the recommended schedule."""
    found = study.recommended
    if found is None:
        return None
    return {"trial": found.run.trial, "genome": found.run.genome, "speedup": found.run.speedup, "words": found.words}


def confirmed_of(study: StudyView) -> ConfirmedFront:
    """What was confirmed of a study.

    Raises:
        StudyError: nothing was.
    """
    if study.confirmed is None:
        raise StudyError(
            f"The study {study.name!r} was not confirmed yet; run `ecad-automl confirm --storage {study.storage}`."
        )
    return study.confirmed


def show_confirmation(
    study: StudyView, found: ConfirmedFront, *, baselines: bool = True, json_output: bool = False
) -> None:
    """Print the front in the search and confirmed, what it is compared with, and how much of it survives."""
    if json_output:
        print_json(_document(study, found, baselines=baselines))
        return
    console, table = results(), new_table()
    images = f"{found.prompts} unseen prompts" + (f" x {found.seeds} seeds" if found.seeds > 1 else "")
    cheaper = "as\nfast" if study.timed else "fewer\nMACs"
    steps = ["\nsteps"] * study.several_steps
    for heading in ("\ntrial", "\norigin", *steps, cheaper, *_CONFIRMED):
        is_text = heading in ("\norigin", "\nsurvives")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    chosen = study.recommended
    for run in found.front:
        trial, *others = _cells(study, run)
        table.add_row(f"{trial}*" if chosen is not None and run is chosen.run else trial, *others)
    if baselines:
        table.add_section()
        for run in found.others:
            table.add_row(*_cells(study, run))
    say(console, f"Front of {study.name} on {images}", style="bold")
    print_table(console, table)
    say(
        console,
        "Differences to uncached: paired means with 95 % intervals over prompts. On the front: share of resampled "
        "prompt sets. Beaten: by a run of at most its cost, by more than the 95 % interval of their paired difference "
        "(!: also after Holm's correction over all comparisons).",
        style="dim",
    )
    for sentence in found.sentences:
        say(console, sentence)
    say_recommended(console, study)


def _document(study: StudyView, found: ConfirmedFront, *, baselines: bool) -> dict[str, Any]:
    return {
        "schema": "ecad-automl/confirmation/1",
        **about_study(study),
        "prompts": found.prompts,
        "seeds": found.seeds,
        "missing": found.missing,
        "front": list(map(_figures, found.front)),
        "others": list(map(_figures, found.others if baselines else ())),
        "survivors": len(found.survivors),
        "rank_correlation": found.rank_correlation,
        "neighbors": found.neighbors,
        "neighbors_kept": found.neighbors_kept,
        "recommended": recommended_figures(study),
    }


def _figures(run: RunView) -> dict[str, Any]:
    return {
        "trial": run.trial,
        "origin": run.origin,
        **asdict(run.outline),
        "speedup": run.speedup,
        **{name: getattr(run.confirmed, name) for name in _ON_UNSEEN_PROMPTS},
    }


def _cells(study: StudyView, run: RunView) -> list[str]:
    found = run.confirmed
    assert found is not None
    return [
        "" if run.trial is None else str(run.trial),
        run.origin,
        *[str(run.steps)] * study.several_steps,
        f"{run.speedup:.2f}x",
        "" if found.searched_difference is None else f"{found.searched_difference:+.4f}",
        interval_text(found.difference, found.half, " ±"),
        f"{found.front_share:.0%}",
        "yes" if found.survives else f"no: {found.beaten_by}{' !' * found.beaten_surely}",
    ]


def about_study(study: StudyView) -> dict[str, Any]:
    """Which study a document is of, and in which terms its figures are."""
    return {
        "study": study.name,
        "storage": study.storage,
        "reward": study.reward_name,
        "cost": study.cost_name,
        "cost_unit": study.cost_unit,
    }


def searched_figures(run: RunView) -> dict[str, Any]:
    """A run as the search scored it."""
    return {**{name: getattr(run, name) for name in _RUN}, **asdict(run.outline), "genome": run.genome}
