"""What a confirmation says, as a table and a few sentences; imports neither torch nor Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ecad_automl.api.terminal import say
from ecad_automl.cli.output import new_table, print_json, results
from ecad_automl.cli.runs import confirmation_document
from ecad_automl.cli.studies import StoredStudy
from ecad_automl.errors import StudyError
from ecad_automl.judging.statistics import Interval
from storage import Store, shown
from studies.confirmation import Confirmation, Verdict, load_confirmation, mean_optimism

__all__ = ["need_confirmation", "read_confirmation", "sentences", "show_confirmation"]

#: Drops grow by orders of magnitude along a front, so that one mean would be that of the harshest schedules.
_BANDS = (("below 2x", 1.0, 2.0), ("2x to 5x", 2.0, 5.0), ("5x and more", 5.0, math.inf))


def read_confirmation(storage: str, study: str) -> Confirmation | None:
    """What was confirmed of a study; None where nothing was."""
    with Store.open(storage, read_only=True) as store:
        return load_confirmation(store, study)


def need_confirmation(storage: str, study: str) -> Confirmation:
    """The same.

    Raises:
        StudyError: nothing was confirmed.
    """
    found = read_confirmation(storage, study)
    if found is None:
        raise StudyError(
            f"The study {study!r} was not confirmed yet; run `ecad-automl confirm --storage {shown(storage)}`."
        )
    return found


def show_confirmation(
    study: StoredStudy, storage: str, found: Confirmation, *, baselines: bool = True, json_output: bool = False
) -> None:
    """Print the front in the search and confirmed, what it is compared with, and how much of it survives."""
    if json_output:
        print_json(confirmation_document(study, storage, found, baselines=baselines))
        return
    console, verdicts = results(), found.verdicts
    images = f"{verdicts.prompts} unseen prompts" + (f" x {verdicts.seeds} seeds" if verdicts.seeds > 1 else "")
    table = new_table()
    cheaper = "as\nfast" if study.cost.name == "latency" else "fewer\nMACs"
    for heading in ("\ntrial", "\norigin", cheaper, "in the\nsearch", "\nconfirmed", "on the\nfront", "\nsurvives"):
        is_text = heading in ("\norigin", "\nsurvives")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    trials = {record.genome: record.trial for record in study.evaluations if record.trial is not None}
    full = study.cost.of(study.uncached)
    for verdict in verdicts.front:
        table.add_row(*_cells(verdict, trials, full))
    if baselines:
        table.add_section()
        for verdict in verdicts.others:
            table.add_row(*_cells(verdict, trials, full))
    say(console, f"Front of {study.name} on {images}", style="bold")
    console.print(table)
    say(
        console,
        "Differences to uncached: paired means with 95 % intervals over prompts. On the front: share of resampled "
        "prompt sets. Beaten: by a run of at most its cost, by more than the 95 % interval of their paired difference "
        "(!: also after Holm's correction over all comparisons).",
        style="dim",
    )
    for sentence in sentences(found, full):
        say(console, sentence)


def sentences(found: Confirmation, full_cost: float) -> list[str]:
    """How much of the front survives, by how much it flattered itself, and whether its order held.

    Args:
        found: the confirmation.
        full_cost: of the uncached run, in what the study minimizes.
    """
    verdicts, front = found.verdicts, found.verdicts.front
    said = []
    if front:
        survivors = len(verdicts.survivors)
        beaten = [v for v in front if v.beaten_by is not None]
        by_front = sum(v.beaten_by is not None and v.beaten_by.chosen for v in beaten)
        said.append(
            f"{survivors} of {len(front)} schedules survive ({survivors / len(front):.0%}); {by_front} are beaten by "
            f"another schedule of the front, {len(beaten) - by_front} by what it is compared with, "
            f"{sum(v.beaten_surely for v in beaten)} of these also after Holm's correction."
        )
    if found.missing:
        said.append(f"{found.missing} of the front are not confirmed yet; `ecad-automl confirm` goes on with them.")
    for name, low, high in _BANDS:
        optimism, control = (
            mean_optimism([v for v in group if low <= full_cost / v.run.cost < high])
            for group in (front, verdicts.others)
        )
        if optimism:
            beside = f"; runs that were not chosen by their scores by {_interval(control)}" if control else ""
            said.append(f"Seemed better in the search, {name}: the front by {_interval(optimism)}{beside}.")
    kept, pairs = verdicts.neighbors_kept
    if pairs:
        said.append(
            f"Rank correlation of search and confirmation: {verdicts.rank_correlation:.2f} over the front; of "
            f"{pairs} pairs of neighbors {kept} kept their order."
        )
    return said


def _cells(verdict: Verdict, trials: Mapping[str, int], full: float) -> list[str]:
    searched, found, winner = verdict.run.searched, verdict.difference, verdict.beaten_by
    trial = trials.get(verdict.run.key)
    by = "" if winner is None else f"trial {trials[winner.key]}" if winner.key in trials else winner.label
    return [
        "" if trial is None else str(trial),
        verdict.run.label,
        f"{full / verdict.run.cost:.2f}x",
        "" if searched is None else f"{float(searched.mean()):+.4f}",
        f"{found.mean:+.4f} ±{found.half:.4f}",
        f"{verdict.front_share:.0%}",
        f"no: {by}{' !' * verdict.beaten_surely}" if by else "yes",
    ]


def _interval(interval: Interval) -> str:
    return f"{interval.mean:+.4f} ± {interval.half:.4f}"
