"""``ecad-automl report``: a study as one HTML file, or as Markdown with pictures."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from ecad_automl.api.live import LiveProgress
from ecad_automl.api.prompts import read_named
from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.options import BatchSize, Device, Json, Moved, Offloaded, Prompts, Storage, Study
from ecad_automl.cli.output import messages, print_json, print_paths, step
from ecad_automl.cli.study_model import Place
from ecad_automl.cli.submit import submit
from ecad_automl.errors import EcadError, EvaluationError, FileError, OptionError
from ecad_automl.files.json_file import write_text
from ecad_automl.views.report.data import Images, Report
from ecad_automl.views.study import StudyView


def report(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    images: Annotated[int, typer.Option(help="Prompts to generate images of; 0 loads no model.")] = 0,
    image_schedules: Annotated[
        int, typer.Option(help="Schedules of the front to generate them under, spread over the speedups.")
    ] = 6,
    prompts: Prompts = None,
    format: Annotated[  # noqa: A002 - as the option is called
        Literal["html", "md"] | None, typer.Option(help="html or md; by default as --out ends, else html.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; report.html or report.md by default.")] = None,
    to_submit: Annotated[
        Path | None,
        typer.Option(
            "--submit",
            metavar="FOLDER",
            help="In place of a report: what a pull request to the gallery needs, confirmed schedules and its text.",
        ),
    ] = None,
    model: Moved = None,
    batch_size: BatchSize = 8,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Write a study as one HTML file that works offline, or as Markdown with PNG pictures in a folder beside it.

    The file has the front with what it is compared with, every schedule as a heatmap, how to export and apply it, and,
    with --images, images uncached and under schedules of the front. Prompts are by default those of the search.
    """
    if to_submit is not None:
        if images or format is not None or out is not None:
            raise OptionError("--submit writes no report; leave out --images, --format and --out.")
        submit(read_study(storage, study), to_submit, json_output=json_output)
        return
    chosen = format or ("md" if out is not None and out.suffix == ".md" else "html")
    path = out or Path(f"report.{chosen}")
    found = read_study(storage, study)
    found.some_front()
    _check(path, images, image_schedules)
    place = Place(model, device, offload)
    place.check()
    console = messages()
    data = Report(found, same_steps=read_study(storage, found.name, same_steps=True) if found.several_steps else None)
    if images or prompts is not None:
        try:
            made = _images(found, images, image_schedules, prompts, place, batch_size)
        except KeyboardInterrupt:
            say(console, "Stopped; no report was written.")
            raise typer.Exit(STOPPED) from None
        data = replace(data, images=made)
    pictures: list[Path] = []
    with step(console, "Writing the report"):
        if chosen == "html":
            from ecad_automl.views.report import html_page

            write_text(path, html_page(data), "report")
        else:
            pictures = _write_markdown(data, path)
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/report/1",
                "study": found.name,
                "storage": found.storage,
                "format": chosen,
                "file": path,
                "pictures": pictures,
                "image_prompts": 0 if data.images is None else len(data.images.prompts),
                "image_schedules": 0 if data.images is None else len(data.images.schedules),
            }
        )
    else:
        print_paths(path)


def _check(path: Path, images: int, image_schedules: int) -> None:
    """Before anything that takes long."""
    if images < 0:
        raise EvaluationError(f"Images of {images} prompts were asked for; give a number from 0.")
    if image_schedules < 1:
        raise EvaluationError(f"Images under {image_schedules} schedules were asked for; at least 1 is needed.")
    if path.is_dir():
        raise FileError(f"The report cannot be written to {path}, which is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise FileError(f"The report cannot be written to {path}, for its folder does not exist; make it first.")


def _images(
    study: StudyView,
    count: int,
    schedules: int,
    prompts: str | None,
    place: Place,
    batch_size: int,
) -> Images:
    """Images of the first prompts of the search, or of others, uncached and under schedules of the front.

    Raises:
        EvaluationError: more prompts are asked for than there are.
    """
    from ecad_automl.cli.study_model import study_images
    from ecad_automl.views.report.data import spread_choice

    console = messages()
    named = tuple(read_named(console, prompts).prompts) if prompts is not None else study.prompts
    wanted = count or len(named)
    if wanted > len(named):
        where = "the search has" if prompts is None else f"{prompts} has"
        raise EvaluationError(f"Images of {wanted} prompts were asked for, but {where} {len(named)}; ask for fewer.")
    source = "prompts that were searched with" if prompts is None else f"prompts of {prompts}"
    chosen, made = spread_choice(study, schedules), {}
    with study_images(study, named[:wanted], place, batch_size) as images, LiveProgress(console) as live:
        total = len(chosen) + 1
        live.update(0, total, "Images, uncached")
        uncached = images(None)
        for number, run in enumerate(chosen, start=1):
            live.update(number, total, f"Images, {run.speedup:.2f}x")
            made[run.genome or ""] = images(run)
        live.update(total, total, "Images")
    return Images(named[:wanted], source, uncached, made)


def _write_markdown(data: Report, path: Path) -> list[Path]:
    """The pictures are all drawn before the first is put in its place; the text comes last. Gives the pictures."""
    from ecad_automl.views.report import markdown_text, write_pictures

    folder = path.with_name(f"{path.stem}-files")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=path.parent) as scratch:
        drawn = write_pictures(data, Path(scratch))
        try:
            folder.mkdir(exist_ok=True)
            pictures = {name: file.replace(folder / file.name) for name, file in drawn.items()}
        except OSError as error:
            raise EcadError(
                f"The pictures of the report cannot be written to {folder} ({error.strerror}); choose another place."
            ) from error
    write_text(
        path, markdown_text(data, {name: f"{folder.name}/{file.name}" for name, file in pictures.items()}), "report"
    )
    return list(pictures.values())
