"""``ecad-automl convert``: between our schedule files and those of the ECAD authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.options import Engine, Json
from ecad_automl.cli.output import print_json, results
from ecad_automl.engines import export_for, reuse_note
from ecad_automl.errors import OptionError
from ecad_automl.files.json_file import write_texts
from ecad_automl.gallery import builtin_plan, is_builtin

if TYPE_CHECKING:
    from ecad_automl.schedules.schedule import Schedule
    from ecad_automl.schedules.schedule_file import ScheduleMetadata


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="Schedule file of ours or of the ECAD authors, or with --to one of the gallery.",
            autocompletion=complete_schedule,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(help="File to write, in the other format; with --skips in ours; with --to the folder.")
    ],
    skips: Annotated[
        bool, typer.Option("--skips", help="Skip the steps that reuse all slots: fewer MACs, slightly other images.")
    ] = False,
    to: Engine = None,
    json_output: Json = False,
) -> None:
    """Convert a schedule file to the other format: which one it is, is seen from its content."""
    from ecad_automl.files.json_file import read_json_object
    from ecad_automl.schedules.ecad_format import read_ecad, write_ecad
    from ecad_automl.schedules.schedule_file import ScheduleMetadata, from_document, save_schedule

    if is_builtin(str(source)):
        if to is None:
            raise OptionError(
                f"{source} is made by rule on the pipeline that it is applied to; say with --to for what else."
            )
        plan = builtin_plan(str(source))
        _write_for(to, plan.outline(), Path(plan.name.replace("/", "-")), target, json_output=json_output)
        return
    data = read_json_object(source, "schedule file")
    if ours := "schema" in data:
        file = from_document(data, str(source))
        schedule, metadata = file.schedule, file.metadata
    else:
        ecad = read_ecad(source)
        schedule, metadata = ecad.schedule, ScheduleMetadata(name=ecad.name, origin="ecad")
    told = ""
    if skips:
        schedule, metadata, told = _skipped(schedule, metadata)
    if to is not None:
        _write_for(to, schedule, source, target, json_output=json_output)
        return
    if ours and not skips:
        write_ecad(target, schedule, name=metadata.name or source.stem)
        written, kind = "ecad", "an ECAD authors' file"
    else:
        save_schedule(target, schedule, metadata)
        written, kind = "ecad-automl", "a schedule file"
    if json_output:
        print_json({"schema": "ecad-automl/conversion/1", "source": source, "target": target, "format": written})
    else:
        say(results(), f"{target}: written as {kind}{told}", keep=[target])


def _write_for(engine: str, schedule: Schedule, source: Path, folder: Path, *, json_output: bool) -> None:
    """What an engine takes, into a folder."""
    made = export_for(engine, schedule, source.name.removesuffix(".json"))
    write_texts(folder, made.files, "files for another engine")
    notes = [note for note in (*made.notes, reuse_note(schedule, engine)) if note]
    if json_output:
        found = {"source": source, "engine": engine, "files": [folder / name for name in made.files], "notes": notes}
        print_json({"schema": "ecad-automl/engine-conversion/1", **found, "how": made.how, "tested": made.tested})
        return
    say(results(), f"{folder / next(iter(made.files))}: written for {engine}", keep=[folder])
    for line in (*notes, made.how, made.tested):
        say(results(), line, keep=[made.how])


def _skipped(schedule: Schedule, metadata: ScheduleMetadata) -> tuple[Schedule, ScheduleMetadata, str]:
    """With steps skipped, without the figures that were measured of it, and what to say."""
    from ecad_automl.schedules.skips import reused_steps, with_skips

    count = int(reused_steps(schedule).sum())
    if not count:
        return schedule, metadata, "; no step reuses all slots, so none was skipped"
    skipped = with_skips(schedule)
    told = (
        f"; {count} of {schedule.steps} steps, which reused all slots, are skipped: {skipped.mac_speedup:.2f}x fewer "
        f"MACs (before: {schedule.mac_speedup:.2f}x). Images change a little; what was measured before is left out"
    )
    return skipped, metadata.model_copy(update={"objectives": {}, "reward": None, "survives": None}), told
