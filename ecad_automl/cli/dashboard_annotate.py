"""Brings the notes, pictures and plots in the dashboard to the present state of studies."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say, warn
from ecad_automl.cli.dashboard_pictures import PictureOptions, draw_grids, draw_heatmaps
from ecad_automl.errors import StorageError, StudyError
from ecad_automl.views.charts import compute_chart, front_chart, hypervolume_chart, painted, spread, surrogate_chart
from ecad_automl.views.notes import schedule_note, study_note
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from storage import optuna_storage, storage_faults, writer_lock
from studies.dashboard import Changes, Kind, StudyContent, TrialContent, annotate, trial_pictures

#: Schedules of a front that get notes and pictures: each page carries what is known of all of them.
_TRIALS = 100
#: Columns of the plot of computed shares, and points in the background of the front: each page carries all plots.
_COLUMNS = 60
_CANDIDATES = 600
#: What a picture shows, for those who do not see it.
_SHOWN = {
    Kind.GRID: "Images of the first prompts: uncached, cached, and their difference",
    Kind.HEATMAP: "Which component of which block is computed at which step",
}


def annotate_studies(
    storage: str, names: Sequence[str], folder: Path, options: PictureOptions, console: Console
) -> None:
    """Write notes, pictures and plots of studies that have evaluations, and say what was done.

    While a search runs, or where nothing can be written, says so and leaves everything as it is.

    Raises:
        StorageError: optuna-dashboard is not installed, or images were asked for and nothing can be written.
        EcadError: images were asked for and cannot be made.
    """
    if find_spec("optuna_dashboard") is None:
        raise StorageError("optuna-dashboard is not installed; install it with pip install 'ecad-automl[dashboard]'.")
    for name in names:
        try:
            study = read_study(storage, name)
            study.some_front()
        except StudyError as error:
            warn(console, str(error))
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
            warn(console, f"{error} Notes and pictures of {name!r} are shown as they were.")
            continue
        say(console, _told(name, changes, folder), keep=[name, folder])


def _content(storage: str, study: StudyView, folder: Path, options: PictureOptions, console: Console) -> StudyContent:
    # The dearest first.
    runs = spread([run for run in reversed(study.front) if run.trial is not None], _TRIALS)
    with storage_faults(storage), optuna_storage(storage) as trials:
        known = trial_pictures(trials, study.name, [run.trial for run in runs if run.trial is not None])
    folder.mkdir(exist_ok=True)
    heatmaps = draw_heatmaps(study, runs, folder, console)
    grids = {number: pictures.grid for number, pictures in known.items() if pictures.grid is not None}
    if options.images:
        grids = draw_grids(study, runs, folder, console, options)
    contents = []
    for run in runs:
        number = run.trial or 0
        pictures = tuple(found[number] for found in (grids, heatmaps) if number in found)
        shown = {f"{known[number].address}{each.id}": _SHOWN[each.kind] for each in pictures}
        contents.append(TrialContent(number, schedule_note(study, run, shown), pictures))
    return StudyContent(study_note(study, runs), tuple(contents), _plots(study, runs))


def _plots(study: StudyView, runs: list[RunView]) -> dict[str, str]:
    """The plots of a study, as JSON of plotly, by their ids in the dashboard."""
    columns = spread(runs, _COLUMNS)
    charts = {
        "ecad-front": front_chart(study, most=_CANDIDATES),
        "ecad-hypervolume": hypervolume_chart(study),
        "ecad-surrogate": surrogate_chart(study),
        "ecad-compute": compute_chart(study, columns) if columns else None,
    }
    return {name: painted(chart) for name, chart in charts.items() if chart is not None}


def _told(name: str, changes: Changes, folder: Path) -> str:
    edited = f" Left alone, because edited by hand: {changes.edited}." if changes.edited else ""
    if not (changes.notes or changes.pictures or changes.figures or changes.removed):
        return f"{name}: notes, pictures and plots are up to date.{edited}"
    done = f"{changes.notes} notes, {changes.pictures} pictures and {changes.figures} plots written"
    removed = f", {changes.removed} pictures removed" if changes.removed else ""
    return f"{name}: {done}{removed} ({folder}).{edited}"
