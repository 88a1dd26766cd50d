"""Pictures for the dashboard: heatmaps of schedules, and grids of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from ecad_automl.cli.progress import LiveProgress
from ecad_automl.cli.study_model import study_images
from ecad_automl.errors import FileError
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from studies.dashboard.content import Artifact, Kind, artifact_id

#: Factor on the difference of pixels, so that it can be seen.
AMPLIFICATION = 4
#: Changes with the look of the pictures, so that older ones are drawn anew.
_LOOK = "2"


def make_folder(folder: Path) -> None:
    """Make the folder of pictures where it does not exist.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder {folder} for pictures cannot be made ({error.strerror}).") from error


def draw_heatmaps(study: StudyView, runs: Sequence[RunView], folder: Path, console: Console) -> dict[int, Artifact]:
    """A picture of each schedule, by the number of its trial; those that exist are not drawn again.

    Raises:
        EcadError: a file cannot be written.
    """
    from ecad_automl.views.plots import plot_heatmap

    found, drawings = {}, []
    for run in runs:
        number, speedup = run.trial or 0, f"{run.speedup:.2f}x"
        found[number] = artifact = Artifact(
            _picture_id(study, run, "heatmap", _LOOK), Kind.HEATMAP, f"schedule-{speedup}-trial{number}.png"
        )
        path = folder / artifact.id
        if not path.exists():
            title = f"trial {number}: {speedup} in {study.cost_name}, reward {run.difference:+.4f}"
            drawings.append(partial(plot_heatmap, path, study.schedule(run), title=title))
    _all(drawings, "Heatmaps", console)
    return found


def draw_grids(
    study: StudyView,
    runs: Sequence[RunView],
    folder: Path,
    console: Console,
    *,
    count: int,
    model: str | None = None,
    device: str | None = None,
    batch_size: int = 8,
) -> dict[int, Artifact]:
    """Images of the first prompts of the search uncached, under each schedule, and how they differ.

    They start from the noise of the study's first seed. Grids that exist are not made again, so the same call goes on
    where an earlier one was stopped; where all exist, no model is loaded.

    Args:
        study: which one.
        runs: the schedules; each has a trial.
        folder: for the pictures.
        console: for progress.
        count: prompts of the search.
        model: where the study's model lies now, if it was moved.
        device: torch device.
        batch_size: images per pipeline call.

    Raises:
        StudyError: the model is not that of the study.
        UnsupportedModelError: it cannot be loaded.
        EvaluationError: it gives no images.
        EcadError: a file cannot be written.
    """
    prompts = study.prompts[:count]
    kind = ("grid", _LOOK, str(AMPLIFICATION), str(study.identity["seeds"][0]), *prompts)
    found = {
        run.trial or 0: Artifact(
            _picture_id(study, run, *kind), Kind.GRID, f"images-{run.speedup:.2f}x-trial{run.trial}.png"
        )
        for run in runs
    }
    paths = {run: folder / found[run.trial or 0].id for run in runs}
    missing = [run for run, path in paths.items() if not path.exists()]
    if not missing:
        return found
    from ecad_automl.views.plots import image_grid

    with study_images(study, prompts, model, device, batch_size) as images:
        with console.status("Images, uncached ..."):
            uncached = images(None)

        def draw(run: RunView) -> None:
            cached = images(run)
            columns = {
                "uncached": uncached,
                f"cached\n{run.speedup:.2f}x in {study.cost_name}": cached,
                f"difference\ntimes {AMPLIFICATION}": AMPLIFICATION * np.abs(cached - uncached),
            }
            image_grid(paths[run], columns, prompts)

        _all([partial(draw, run) for run in missing], "Images", console)
    return found


def _picture_id(study: StudyView, run: RunView, *what: str) -> str:
    """The id of a picture of a schedule: another one for another model, way to generate, or thing to show."""
    made_by = [
        str(study.identity[name]) for name in ("model", "revision", "scheduler", "scheduler_config", "generation")
    ]
    return artifact_id(study.name, str(run.trial), *made_by, str(run.genome), *what)


def _all(drawings: Sequence[Callable[[], None]], name: str, console: Console) -> None:
    if not drawings:
        return
    with LiveProgress(console, pause=5.0) as live:
        for done, draw in enumerate(drawings):
            live.update(done, len(drawings), name)
            draw()
        live.update(len(drawings), len(drawings), name)
