"""Brings the notes, pictures and plots in the dashboard to the present state of studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ecad_automl.cli.confirmed import read_confirmation
from ecad_automl.cli.dashboard_notes import schedule_note, study_note
from ecad_automl.cli.dashboard_pictures import draw_grids, draw_heatmaps, make_folder
from ecad_automl.cli.dashboard_study import TRIALS, figures_of, shown_front, spread
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.errors import StorageError, StudyError
from storage import optuna_storage, storage_faults, writer_lock
from studies.dashboard import Changes, StudyContent, TrialContent, annotate, trial_facts

__all__ = ["PictureOptions", "annotate_studies"]


@dataclass(frozen=True)
class PictureOptions:
    """How to make images.

    Args:
        images: prompts; 0 for none.
        model: where the study's model lies now, if it was moved.
        device: torch device.
        batch_size: images per pipeline call.
    """

    images: int = 0
    model: str | None = None
    device: str | None = None
    batch_size: int = 8


def annotate_studies(
    storage: str, names: Sequence[str], folder: Path, options: PictureOptions, console: Console
) -> None:
    """Write notes, pictures and plots of studies, and say what was done.

    While a search runs, or where nothing can be written, says so and leaves everything as it is.

    Args:
        storage: the study database, as the user named it.
        names: of the studies; those without an evaluation are passed over.
        folder: for pictures.
        options: how to make images.
        console: for progress and messages.

    Raises:
        StorageError: optuna-dashboard or plotly is not installed, or images were asked for and nothing can be written.
        EcadError: images were asked for and cannot be made.
    """
    _check_installed()
    for name in names:
        try:
            study = read_study(storage, name)
        except StudyError as error:
            console.print(str(error), style="yellow", highlight=False, markup=False, soft_wrap=True)
            continue
        try:
            with writer_lock(storage, study.name):
                pass  # a running search, before anything that takes long
            content = _content(storage, study, folder, options, console)
            with writer_lock(storage, study.name), storage_faults(storage), optuna_storage(storage) as trials:
                changes = annotate(trials, study.name, content, folder)
        except StorageError as error:
            if options.images:
                raise
            console.print(
                f"{error} Notes and pictures of {name!r} are shown as they were.",
                style="yellow",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            continue
        console.print(_told(name, changes, folder), highlight=False, markup=False, soft_wrap=True)


def _content(storage: str, study: StoredStudy, folder: Path, options: PictureOptions, console: Console) -> StudyContent:
    numbers = [record.trial for record in spread(study.front(), TRIALS) if record.trial is not None]
    confirmation = read_confirmation(storage, study.name)
    with storage_faults(storage), optuna_storage(storage) as trials:
        facts = trial_facts(trials, study.name, numbers)
    shown = shown_front(study, confirmation, facts)
    make_folder(folder)
    heatmaps = draw_heatmaps(study, shown, folder, console)
    grids = {each.number: each.facts.grid for each in shown if each.facts.grid is not None}
    if options.images:
        grids = draw_grids(
            study,
            shown,
            folder,
            console,
            count=options.images,
            model=options.model,
            device=options.device,
            batch_size=options.batch_size,
        )
    pictures = {
        each.number: tuple(found[each.number] for found in (grids, heatmaps) if each.number in found) for each in shown
    }
    return StudyContent(
        study_note(study, shown, confirmation, storage),
        tuple(
            TrialContent(each.number, schedule_note(study, each, storage, pictures[each.number]), pictures[each.number])
            for each in shown
        ),
        figures_of(study, shown, confirmation),
    )


def _told(name: str, changes: Changes, folder: Path) -> str:
    edited = f" Left alone, because edited by hand: {changes.edited}." if changes.edited else ""
    done = f"{changes.notes} notes, {changes.pictures} pictures and {changes.figures} plots written"
    removed = f", {changes.removed} pictures removed" if changes.removed else ""
    if not (changes.notes or changes.pictures or changes.figures or changes.removed):
        return f"{name}: notes, pictures and plots are up to date.{edited}"
    return f"{name}: {done}{removed} ({folder}).{edited}"


def _check_installed() -> None:
    """Before anything that takes long.

    Raises:
        StorageError: a part of the dashboard is missing.
    """
    import importlib.util

    for name, package in (("optuna_dashboard", "optuna-dashboard"), ("plotly", "plotly")):
        if importlib.util.find_spec(name) is None:
            raise StorageError(f"{package} is not installed; install it with pip install 'ecad-automl[dashboard]'.")
