"""The charts of a report as PNG files."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.views.plots import (
    image_grid,
    plot_confirmation,
    plot_front,
    plot_heatmap,
    plot_hypervolume,
    plot_shares,
    plot_surrogate,
)
from ecad_automl.views.report.data import Images, Report, usual_choice
from ecad_automl.views.study import StudyView


def write_pictures(report: Report, folder: Path) -> dict[str, Path]:
    """Draw what there is to draw into a folder, which is made where it does not exist.

    Returns:
        Files by what they show: ``front``, ``confirmed``, ``hypervolume``, ``surrogate``, ``shares``, ``schedule``,
        ``images``; without those that there is nothing to show in.

    Raises:
        EcadError: a file cannot be written.
    """
    study, paths = report.study, {}

    def path(name: str) -> Path:
        paths[name] = folder / f"{name}.png"
        return paths[name]

    plot_front(path("front"), study)
    if study.confirmed is not None and study.confirmed.front:
        plot_confirmation(path("confirmed"), study, study.confirmed)
    chosen = usual_choice(study.front)
    name = chosen.origin if chosen.trial is None else f"trial {chosen.trial}"
    plot_heatmap(path("schedule"), study.schedule(chosen), title=f"{study.name}, {name}: {chosen.speedup:.2f}x")
    plot_shares(path("shares"), study)
    if report.images is not None:
        _images(path("images"), study, report.images)
    plot_hypervolume(path("hypervolume"), study)
    if any(generation.rank_correlation is not None for generation in study.generations):
        plot_surrogate(path("surrogate"), study)
    return paths


def _images(path: Path, study: StudyView, images: Images) -> None:
    columns = {"uncached": images.uncached}
    for run in study.front:
        if run.genome is not None and run.genome in images.schedules:
            name = f"{run.speedup:.2f}x\n{run.origin if run.trial is None else run.trial}"
            columns[name] = images.schedules[run.genome]
    image_grid(path, columns, images.prompts)
