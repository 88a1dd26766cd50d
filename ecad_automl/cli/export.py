"""``ecad-automl export``: schedules of a study as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ecad_automl.api.export import export_run
from ecad_automl.api.stored import read_study
from ecad_automl.api.study_front import Front
from ecad_automl.api.terminal import say
from ecad_automl.cli.export_engines import export_to
from ecad_automl.cli.front import confirmed_of, searched_figures
from ecad_automl.cli.options import BatchSize, Device, Engine, Json, Moved, Offloaded, Out, SameSteps, Storage, Study
from ecad_automl.cli.output import messages, print_json, results, step
from ecad_automl.cli.study_model import Place
from ecad_automl.engines import ENGINES
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
from ecad_automl.views.run import RunView, interval_text
from ecad_automl.views.study import StudyView


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
    whole: Annotated[bool, typer.Option("--front", help="The whole front, with an index of it.")] = False,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Choose among what survived, by its reward on unseen prompts.")
    ] = False,
    same_steps: SameSteps = False,
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
    to: Engine = None,
    project: Annotated[
        bool,
        typer.Option(
            "--project",
            rich_help_panel="Other engines",
            help="With --to: in place of a schedule that chooses within its steps the nearest whole steps, measured.",
        ),
    ] = False,
    model: Moved = None,
    device: Device = None,
    offload: Offloaded = None,
    batch_size: BatchSize = 8,
    json_output: Json = False,
) -> None:
    """Write schedules as JSON files: the one that is recommended, one chosen by an option, or the whole front.

    Recommended is the largest saving that unseen prompts, or else the intervals of the search, do not tell from the
    uncached run; with --to, all of the front that the engine can run is written. Where the front was confirmed, the
    files have the confirmed figures too. At the end stand lines of Python that apply the schedule, or the recommended
    one of a front.
    """
    chosen = [option for option in (speedup, max_drop, trial, knee_point or None, whole or None) if option is not None]
    if len(chosen) > 1:
        raise OptionError(
            "Choose by one of --speedup, --max-drop, --knee, --trial and --front, or by none for the recommended one."
        )
    _check_engine(to, project=project, hub=push_to_hub is not None or bool(card))
    place = Place(model, device, offload)
    place.check()
    if private and push_to_hub is None:
        raise OptionError("--private says how --push-to-hub makes a repository; give both or none.")
    found = read_study(storage, study, same_steps=same_steps)
    front = Front(_survivors(found) if confirmed else found, storage)
    recommended = front.recommended
    if recommended is None and (whole or not chosen):
        found.some_front()  # says that there is none
    runs: Sequence[RunView] = front if whole or to is not None or recommended is None else [recommended]
    if speedup is not None:
        runs = [front.at_speedup(speedup)]
    elif max_drop is not None:
        runs = [front.within_drop(max_drop)]
    elif trial is not None:
        runs = [found.trial(trial)]
    elif knee_point:
        runs = [front.knee()]
    # As the search scored them, whatever they were chosen by.
    searched = {run.genome: run for run in found.runs}
    if to is not None:
        export_to(
            found,
            [searched[each.genome] for each in runs],
            to,
            out,
            project=project,
            place=place,
            batch_size=batch_size,
            json_output=json_output,
        )
        return
    if card:
        check_card(out, None)
    console = results(json_output=json_output)
    paths: dict[str | None, Path] = {}
    for run in (searched[each.genome] for each in runs):
        path = paths[run.genome] = export_run(found, run, out)
        seen = run.confirmed
        told = "" if seen is None else f", {interval_text(seen.difference, seen.half, ' ±')} confirmed"
        say(console, f"{path}: {run.savings}, reward {run.difference:+.4f} to uncached{told}", keep=[path])
    files = {path.name: load_schedule(path) for path in paths.values()}
    index = save_index(out, files) if whole else None
    if index is not None:
        say(console, f"{index}: the list of these {len(files)}", keep=[index])
    if recommended is not None and not chosen:
        say(console, f"Recommended: {front.recommendation}. --front writes the whole front.")
    example = paths[(recommended if whole and recommended is not None else runs[0]).genome]
    if card:
        name, prompt = str(out if whole else example), found.sample_prompt
        text = (
            collection_card(files, name, prompt=prompt)
            if whole
            else schedule_card(files[example.name], name, prompt=prompt)
        )
        write_card(out, text, None)
        say(console, f"{out / CARD}: model card", keep=[out / CARD])
    pushed = None
    if push_to_hub is not None:
        with step(messages(), f"Sending to {push_to_hub}"):
            pushed, applied = _push(
                push_to_hub, files, whole=whole, private=private, card=card, prompt=found.sample_prompt
            )
        use = f'apply_schedule(pipe, "{applied}")'
        say(console, f"Pushed: {pushed}\nAnyone who may see it: {use}", keep=[use])
    snippet = apply_snippet(files[example.name], str(example), found.sample_prompt)
    # A program, whose lines stay as they are.
    say(console, f"\nTo apply {example.name}:\n\n{snippet}", keep=[example.name, *snippet.splitlines()])
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/export/1",
                "study": found.name,
                "storage": found.storage,
                "schedules": [_written(searched[genome], path) for genome, path in paths.items()],
                "index": index,
                "card": out / CARD if card else None,
                "pushed": pushed,
                "snippet": snippet,
            }
        )


def _check_engine(to: str | None, *, project: bool, hub: bool) -> None:
    if to is None:
        if project:
            raise OptionError("--project is for other engines; name one with --to, such as --to cache-dit.")
        return
    if to not in ENGINES:
        raise OptionError(f"There is no export to {to!r}; choose one of {', '.join(ENGINES)}.")
    if hub:
        raise OptionError("Cards and the hub are for schedule files; leave out --to, or --card and --push-to-hub.")


def _written(run: RunView, file: Path) -> dict[str, Any]:
    seen = run.confirmed
    return {
        **searched_figures(run),
        "file": file,
        "confirmed_difference": None if seen is None else seen.difference,
        "confirmed_interval": None if seen is None else seen.difference_interval,
        "survives": None if seen is None else seen.survives,
    }


def _push(
    repo: str, files: Mapping[str, ScheduleFile], *, whole: bool, private: bool, card: bool | None, prompt: str
) -> tuple[str, str]:
    """Send a front as files with an index, and one schedule as that of the repository.

    Returns:
        The address of the repository, and what ``apply_schedule`` takes.
    """
    # A card that a person wrote is replaced from Python only.
    kept = False if card is False else None
    if whole:
        address = push_schedules(repo, files, private=private or None, card=kept, prompt=prompt)
        return address, f"{repo}/{next(iter(files))}"
    (file,) = files.values()
    address = push_schedule(repo, file.schedule, file.metadata, private=private or None, card=kept, prompt=prompt)
    return address, repo


def _survivors(study: StudyView) -> StudyView:
    """The study with no more than what survived of the front, with its rewards on unseen prompts.

    Raises:
        StudyError: nothing did, or nothing was confirmed.
    """
    confirmed_of(study)
    survived = [
        replace(run, reward=run.confirmed.reward, difference=run.confirmed.difference)
        for run in study.front
        if run.confirmed is not None and run.confirmed.survives
    ]
    if not survived:
        raise StudyError("No schedule of the front survived on unseen prompts; search on, then confirm again.")
    return replace(study, runs=tuple(survived))
