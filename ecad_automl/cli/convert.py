"""``ecad-automl convert``: between our schedule files and those of the ECAD authors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import print_json, results


def convert(
    source: Annotated[
        Path, typer.Argument(help="Schedule file of ours or of the ECAD authors.", autocompletion=complete_schedule)
    ],
    target: Annotated[Path, typer.Argument(help="File to write, in the other format.")],
    json_output: Json = False,
) -> None:
    """Convert a schedule file to the other format: which one it is, is seen from its content."""
    from ecad_automl.files.json_file import read_json_object
    from ecad_automl.schedules.ecad_format import read_ecad, write_ecad
    from ecad_automl.schedules.schedule_file import ScheduleMetadata, from_document, save_schedule

    data = read_json_object(source, "schedule file")
    if "schema" in data:
        file = from_document(data, str(source))
        write_ecad(target, file.schedule, name=file.metadata.name or source.stem)
        written, kind = "ecad", "an ECAD authors' file"
    else:
        ecad = read_ecad(source)
        save_schedule(target, ecad.schedule, ScheduleMetadata(name=ecad.name, origin="ecad"))
        written, kind = "ecad-automl", "a schedule file"
    if json_output:
        print_json({"schema": "ecad-automl/conversion/1", "source": source, "target": target, "format": written})
    else:
        say(results(), f"{target}: written as {kind}", keep=[target])
