"""``ecad-automl export``: schedules of a study as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.api.export import export_record
from ecad_automl.api.terminal import say
from ecad_automl.cli.confirmed import need_confirmation, read_confirmation
from ecad_automl.cli.documents import ExportDocument, ExportedSchedule, interval_of
from ecad_automl.cli.options import Json, Out, Storage, Study
from ecad_automl.cli.output import messages, print_json, results, step
from ecad_automl.cli.runs import run_facts
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.errors import OptionError, StudyError
from ecad_automl.hub import save_index
from ecad_automl.schedules.schedule_file import ScheduleFile, load_schedule
from ecad_automl.sharing import (
    CARD,
    apply_snippet,
    check_card,
    collection_card,
    push_schedule,
    push_schedules,
    schedule_card,
    write_card,
)
from storage import EvaluationRecord, shown
from studies.confirmation import Verdict

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
    card: Annotated[
        bool | None,
        typer.Option("--card/--no-card", help="Write a model card, README.md; by default only for the hub."),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Send the files to this repository of the Hugging Face hub."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Only you may see that repository.")] = False,
    json_output: Json = False,
) -> None:
    """Write schedules as JSON files: the one chosen by an option, or the whole front with an index of it.

    Where the front was confirmed, the files have the confirmed figures too. At the end stand lines of Python that
    apply the schedule, or that at the knee of the front.
    """
    chosen = [option for option in (speedup, max_drop, trial, knee_point or None) if option is not None]
    if len(chosen) > 1:
        raise OptionError("Choose by one of --speedup, --max-drop, --knee and --trial, or by none for the whole front.")
    if private and push_to_hub is None:
        raise OptionError("--private says how --push-to-hub makes a repository; give both or none.")
    found = read_study(storage, study)
    confirmation = need_confirmation(storage, found.name) if confirmed else read_confirmation(storage, found.name)
    verdicts = {v.run.key: v for v in confirmation.verdicts.all} if confirmation else {}
    front = found.front()
    if confirmed:
        front = _confirmed_front(front, verdicts)
    if speedup is not None:
        records = [found.at_speedup(front, speedup)]
    elif max_drop is not None:
        records = [found.within_drop(front, max_drop)]
    elif trial is not None:
        records = [found.trial(trial)]
    else:
        records = [found.knee(front)] if knee_point else front
    if card:
        check_card(out, None)
    console = results(json_output=json_output)
    paths: dict[str, Path] = {}
    for record in records:
        verdict = verdicts.get(record.genome)
        searched = found.evaluation(record.genome)
        path = paths[record.genome] = export_record(found, searched, out, verdict)
        told = "" if verdict is None else f", {verdict.difference.mean:+.4f} ±{verdict.difference.half:.4f} confirmed"
        say(
            console,
            f"{path}: {_savings(found, record)}, reward {0.0 - searched.reward_drop:+.4f} to uncached{told}",
            keep=[path],
        )
    files = {path.name: load_schedule(path) for path in paths.values()}
    whole = not chosen
    index = save_index(out, files) if whole else None
    if index is not None:
        say(console, f"{index}: the list of these {len(files)}", keep=[index])
    example = paths[(found.knee(front) if whole else records[0]).genome]
    if card:
        text = collection_card(files, str(out)) if whole else schedule_card(files[example.name], str(example))
        write_card(out, text, None)
        say(console, f"{out / CARD}: model card", keep=[out / CARD])
    pushed = None
    if push_to_hub is not None:
        with step(messages(), f"Sending to {push_to_hub}"):
            pushed, applied = _push(push_to_hub, files, whole=whole, private=private, card=card)
        use = f'apply_schedule(pipe, "{applied}")'
        say(console, f"Pushed: {pushed}\nAnyone who may see it: {use}", keep=[use])
    snippet = apply_snippet(files[example.name], str(example), found.identity["prompts"][0])
    # A program, whose lines stay as they are.
    say(console, f"\nTo apply {example.name}:\n\n{snippet}", keep=[example.name, *snippet.splitlines()])
    if json_output:
        print_json(
            ExportDocument(
                study=found.name,
                storage=shown(storage),
                schedules=[
                    _exported(found, found.evaluation(genome), path, verdicts.get(genome))
                    for genome, path in paths.items()
                ],
                index=index,
                card=out / CARD if card else None,
                pushed=pushed,
                snippet=snippet,
            )
        )


def _exported(study: StoredStudy, record: EvaluationRecord, path: Path, verdict: Verdict | None) -> ExportedSchedule:
    """What the search and, where it was confirmed, unseen prompts say of a schedule."""
    found = None if verdict is None else verdict.difference
    return ExportedSchedule(
        **run_facts(study, record),
        file=path,
        confirmed_difference=None if found is None else found.mean,
        confirmed_interval=None if found is None else interval_of(found.mean, found.half),
        survives=None if verdict is None else verdict.survives,
    )


def _push(
    repo: str, files: Mapping[str, ScheduleFile], *, whole: bool, private: bool, card: bool | None
) -> tuple[str, str]:
    """Send a front as files with an index, and one schedule as that of the repository.

    Returns:
        The address of the repository, and what ``apply_schedule`` takes.
    """
    # A card that a person wrote is replaced from Python only.
    kept = False if card is False else None
    if whole:
        return push_schedules(repo, files, private=private or None, card=kept), f"{repo}/{next(iter(files))}"
    (file,) = files.values()
    return push_schedule(repo, file.schedule, file.metadata, private=private or None, card=kept), repo


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
