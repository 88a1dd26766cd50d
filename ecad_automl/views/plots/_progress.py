"""How a search went, and what its front computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.schedules.layout import rows_at
from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.study import StudyView

_SERIES = (COLORS["search"], COLORS["heuristic"], COLORS["steps"], "#CC79A7", COLORS["beaten"], "#56B4E9")
_MARKERS = "os^Dvx"


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


def plot_shares(path: Path, study: StudyView) -> None:
    """Draw shares computed: by component over the speedup; by step and by depth for every schedule of the front.

    Raises:
        EcadError: the file cannot be written.
    """
    front, layout = study.front, study.layout
    bits = [study.schedule(run).effective for run in front]
    by_slot = np.stack([each.mean(axis=0) for each in bits])
    by_step = np.stack([each[rows_at(len(each), study.steps)].mean(axis=1) for each in bits])
    stretched = ", runs of fewer steps stretched" if any(run.steps != study.steps for run in front) else ""
    speedups = [run.speedup for run in front]
    with figure(path, 12.0, 4.2) as drawn:
        component, step, depth = drawn.subplots(1, 3)
        for index, name in enumerate(layout.components):
            component.plot(
                speedups, by_slot[:, layout.component_index == index].mean(axis=1),
                f"{_MARKERS[index % len(_MARKERS)]}-", color=_SERIES[index % len(_SERIES)], markersize=4, linewidth=1.2,
                label=name,
            )  # fmt: skip
        component.set_xscale("log")
        component.xaxis.set_major_formatter("{x:g}x")
        component.xaxis.set_minor_formatter("{x:g}x")
        component.tick_params(axis="x", which="both", labelsize=7)
        component.set_xlabel("speedup")
        component.set_ylabel("share computed")
        component.set_ylim(0, 1.03)
        component.grid(alpha=0.25)
        component.legend(fontsize=8)
        blocks = np.stack([by_slot[:, layout.block_index == b].mean(axis=1) for b in range(len(layout.blocks))], 1)
        for axes, shares, title in ((step, by_step, f"denoising step{stretched}"), (depth, blocks, "block")):
            shown = axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            rows = np.unique(np.linspace(0, len(front) - 1, min(10, len(front))).round().astype(int))
            axes.set_yticks(rows, [f"{speedups[row]:.2f}x" for row in rows], fontsize=7)
            axes.set_xlabel(title)
            axes.set_ylabel("schedule of the front")
            axes.xaxis.get_major_locator().set_params(integer=True)
        drawn.colorbar(shown, ax=(step, depth), label="share computed", shrink=0.8)
        drawn.suptitle(f"{study.name}: where the front computes", fontsize=10)
