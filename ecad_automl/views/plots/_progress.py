"""How a search went: hypervolume against evaluations, and the accuracy of the surrogate by generation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.study import StudyView


def plot_hypervolume(path: Path, study: StudyView) -> None:
    """Draw the normalized hypervolume after each evaluation.

    Raises:
        EcadError: the file cannot be written.
    """
    curve = study.hypervolume
    late = curve[len(curve) // 20 :]
    with figure(path, 7.0, 4.4) as drawn:
        axes = drawn.add_subplot()
        axes.plot(range(1, len(curve) + 1), curve, color=COLORS["search"], linewidth=1.5)
        axes.set_ylim(max(0.0, min(late) - 0.01), max(late) + 0.01)
        axes.set_xlabel("evaluated schedules")
        axes.set_ylabel("normalized hypervolume")
        axes.set_title(f"{study.name}: hypervolume against evaluations", fontsize=10)
        axes.grid(alpha=0.25)


def plot_surrogate(path: Path, study: StudyView) -> None:
    """Draw how well the surrogate predicted candidates before they were evaluated.

    Raises:
        EcadError: the file cannot be written.
    """
    at = [each.generation for each in study.generations]
    ranks = [np.nan if g.rank_correlation is None else g.rank_correlation for g in study.generations]
    covered = [np.nan if g.coverage is None else g.coverage for g in study.generations]
    with figure(path, 7.0, 3.8) as drawn:
        axes = drawn.add_subplot()
        axes.axhline(0.9, color=COLORS["heuristic"], linewidth=0.8, linestyle=":")
        axes.plot(at, ranks, "o-", color=COLORS["search"], markersize=4, label="rank correlation at equal cost")
        axes.plot(at, covered, "s--", color=COLORS["heuristic"], markersize=4, label="coverage of 90 % intervals")
        axes.set_xlabel("generation")
        axes.set_ylim(top=1.04)
        axes.set_title(f"{study.name}: accuracy of the surrogate, out of sample", fontsize=10)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)
