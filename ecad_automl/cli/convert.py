"""``ecad-automl convert``: between our schedule files and those of the ECAD authors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

__all__ = ["convert"]


def convert(
    source: Annotated[Path, typer.Argument(help="Schedule file of ours or of the ECAD authors.")],
    target: Annotated[Path, typer.Argument(help="File to write, in the other format.")],
) -> None:
    """Convert a schedule file to the other format: which one it is, is seen from its content."""
    from ecad_automl.ecad_format import read_ecad, write_ecad
    from ecad_automl.json_file import read_json_object
    from ecad_automl.schedule_file import ScheduleMetadata, from_document, save_schedule

    data = read_json_object(source, "schedule file")
    if "schema" in data:
        file = from_document(data, str(source))
        write_ecad(target, file.schedule, name=file.metadata.name or source.stem)
        kind = "an ECAD authors' file"
    else:
        ecad = read_ecad(source)
        save_schedule(target, ecad.schedule, ScheduleMetadata(name=ecad.name, origin="ecad"))
        kind = "a schedule file"
    Console().print(f"{target}: written as {kind}", highlight=False, soft_wrap=True)
