"""``ecad-automl convert``: between our schedule files and those of the ECAD authors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.documents import ConversionDocument
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
        document = ConversionDocument(source=source, target=target, format="ecad")
    else:
        ecad = read_ecad(source)
        save_schedule(target, ecad.schedule, ScheduleMetadata(name=ecad.name, origin="ecad"))
        document = ConversionDocument(source=source, target=target, format="ecad-automl")
    if json_output:
        print_json(document)
        return
    kind = "an ECAD authors' file" if document.format == "ecad" else "a schedule file"
    say(results(), f"{target}: written as {kind}", keep=[target])
