"""What a confirmation says, as a table and a few sentences; imports neither torch nor Optuna."""

from __future__ import annotations

from typing import Any

from ecad_automl.api.terminal import say
from ecad_automl.cli.documents import about_study
from ecad_automl.cli.output import new_table, print_json, results
from ecad_automl.errors import StudyError
from ecad_automl.views.run import RunView, interval_text
from ecad_automl.views.study import ConfirmedFront, StudyView

_ON_UNSEEN_PROMPTS = (
    *("reward", "difference", "difference_interval", "searched_difference", "front_share"),
    *("survives", "beaten_by", "beaten_surely"),
)


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
    for heading in ("\ntrial", "\norigin", cheaper, "in the\nsearch", "\nconfirmed", "on the\nfront", "\nsurvives"):
        is_text = heading in ("\norigin", "\nsurvives")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for run in found.front:
        table.add_row(*_cells(run))
    if baselines:
        table.add_section()
        for run in found.others:
            table.add_row(*_cells(run))
    say(console, f"Front of {study.name} on {images}", style="bold")
    console.print(table)
    say(
        console,
        "Differences to uncached: paired means with 95 % intervals over prompts. On the front: share of resampled "
        "prompt sets. Beaten: by a run of at most its cost, by more than the 95 % interval of their paired difference "
        "(!: also after Holm's correction over all comparisons).",
        style="dim",
    )
    for sentence in found.sentences:
        say(console, sentence)


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
    }


def _figures(run: RunView) -> dict[str, Any]:
    return {
        "trial": run.trial,
        "origin": run.origin,
        "speedup": run.speedup,
        **{name: getattr(run.confirmed, name) for name in _ON_UNSEEN_PROMPTS},
    }


def _cells(run: RunView) -> list[str]:
    found = run.confirmed
    assert found is not None
    return [
        "" if run.trial is None else str(run.trial),
        run.origin,
        f"{run.speedup:.2f}x",
        "" if found.searched_difference is None else f"{found.searched_difference:+.4f}",
        interval_text(found.difference, found.half, " ±"),
        f"{found.front_share:.0%}",
        "yes" if found.survives else f"no: {found.beaten_by}{' !' * found.beaten_surely}",
    ]
