"""Pictures for the dashboard: heatmaps of schedules, and grids of their images. Those that exist are not made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from ecad_automl.cli.output import LiveProgress
from ecad_automl.cli.study_model import study_images
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from studies.dashboard.content import Artifact, Kind, artifact_id

#: Factor on the difference of pixels, so that it can be seen.
AMPLIFICATION = 4
#: Changes with the look of the pictures, so that older ones are drawn anew.
_LOOK = "2"


@dataclass(frozen=True)
class PictureOptions:
    """How to make images: of how many prompts, 0 for none, and what :func:`~.study_model.study_images` is to know."""

    images: int
    model: str | None
    device: str | None
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
    found = _artifacts(study, runs, Kind.GRID, "images", str(AMPLIFICATION), str(study.identity["seeds"][0]), *prompts)
    missing = _missing(runs, found, folder)
    if not missing:
        return found
    from ecad_automl.views.plots import image_grid

    with study_images(study, prompts, options.model, options.device, options.batch_size) as images:
        with console.status("Images, uncached ..."):
            uncached = images(None)

        def draw(run: RunView, path: Path) -> None:
            cached = images(run)
            columns = {
                "uncached": uncached,
                f"cached\n{run.speedup:.2f}x in {study.cost_name}": cached,
                f"difference\ntimes {AMPLIFICATION}": AMPLIFICATION * np.abs(cached - uncached),
            }
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
