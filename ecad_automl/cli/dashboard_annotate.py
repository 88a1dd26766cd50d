"""Brings the notes, pictures and plots in the dashboard to the present state of studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from ecad_automl.api.live import LiveProgress
from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say, warn
from ecad_automl.cli.study_model import Place, study_images
from ecad_automl.errors import StorageError, StudyError
from ecad_automl.views.charts import front_chart, hypervolume_chart, painted, spread, surrogate_chart
from ecad_automl.views.compute_chart import compute_chart
from ecad_automl.views.notes import schedule_note, study_note
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from storage import optuna_storage, storage_faults, writer_lock
from studies.dashboard import Changes, Kind, StudyContent, TrialContent, annotate, trial_pictures
from studies.dashboard.annotate import Artifact, artifact_id

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
#: Changes with the look of the pictures, so that older ones are drawn anew.
_LOOK = "4"


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


@dataclass(frozen=True)
class PictureOptions:
    """How to make images: of how many prompts, 0 for none, and what :func:`~.study_model.study_images` is to know."""

    images: int
    place: Place
    batch_size: int


def draw_heatmaps(study: StudyView, runs: Sequence[RunView], folder: Path, console: Console) -> dict[int, Artifact]:
    """A picture of each schedule, by the number of its trial.

    Raises:
        FileError: a file cannot be written.
    """
    from ecad_automl.views.plots import plot_heatmap

    def draw(run: RunView, path: Path) -> None:
        title = f"trial {run.trial}: {run.speedup:.2f}x in {study.cost_name}, reward {run.difference:+.4f}"
        plot_heatmap(path, study.schedule(run), title=title)

    found = _artifacts(study, runs, Kind.HEATMAP, "schedule")
    _draw(_missing(runs, found, folder), draw, "Heatmaps", console)
    return found


def draw_grids(
    study: StudyView, runs: Sequence[RunView], folder: Path, console: Console, options: PictureOptions
) -> dict[int, Artifact]:
    """Images of the first prompts of the search uncached, under each schedule, and how they differ.

    The same call goes on where an earlier one was stopped; where all exist, no model is loaded.

    Raises:
        EcadError: see :func:`~ecad_automl.cli.study_model.study_images`, or a file cannot be written.
    """
    prompts = study.prompts[: options.images]
    found = _artifacts(study, runs, Kind.GRID, "images", str(study.identity["seeds"][0]), *prompts)
    missing = _missing(runs, found, folder)
    if not missing:
        return found
    from ecad_automl.views.plots import image_grid

    with study_images(study, prompts, options.place, options.batch_size) as images:
        with console.status("Images, uncached ..."):
            uncached = images(None)

        def draw(run: RunView, path: Path) -> None:
            columns = {"uncached": uncached, f"cached\n{run.speedup:.2f}x in {study.cost_name}": images(run)}
            image_grid(path, columns, prompts)

        _draw(missing, draw, "Images", console)
    return found


def _artifacts(study: StudyView, runs: Sequence[RunView], kind: Kind, name: str, *shown: str) -> dict[int, Artifact]:
    """Those of runs with a trial: others for another model, way to generate, or thing to show."""
    made_by = [str(study.identity[key]) for key in ("model", "revision", "scheduler", "scheduler_config", "generation")]
    return {
        run.trial: Artifact(
            artifact_id(study.name, str(run.trial), *made_by, str(run.genome), kind, _LOOK, *shown),
            kind,
            f"{name}-{run.speedup:.2f}x-trial{run.trial}.png",
        )
        for run in runs
        if run.trial is not None
    }


def _missing(runs: Sequence[RunView], found: Mapping[int, Artifact], folder: Path) -> dict[RunView, Path]:
    paths = {run: folder / found[run.trial].id for run in runs if run.trial is not None}
    return {run: path for run, path in paths.items() if not path.exists()}


def _draw(missing: Mapping[RunView, Path], draw: Callable[[RunView, Path], None], name: str, console: Console) -> None:
    if not missing:
        return
    with LiveProgress(console, pause=5.0) as live:
        for done, (run, path) in enumerate(missing.items()):
            live.update(done, len(missing), name)
            draw(run, path)
        live.update(len(missing), len(missing), name)
