"""The front of a search beside everything that it is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_front(path: Path | None, study: StudyView) -> Figure:
    """Draw reward against cost, with the speedup on a second axis.

    Rewards far below all that matters are cut off: the axis starts a little below the worst front point at 5x. The
    figure is returned, and saved as PNG where a path is given.

    Raises:
        FileError: the file cannot be written.
        StudyError: the front is empty.
    """
    front, full = study.some_front(), study.uncached
    shorter = (*study.searched_shorter, full)
    with figure(path, 8.0, 5.2) as drawn:
        axes = drawn.add_subplot()
        others = study.of_kind(Kind.EVALUATED, Kind.STOPPED, Kind.INFEASIBLE)
        for runs, color, marker, label in (
            (others, COLORS["candidate"], ".", "evaluated"),
            (study.heuristics, COLORS["heuristic"], "^", "heuristics"),
        ):
            axes.scatter(
                [run.cost for run in runs], [run.reward for run in runs], color=color, marker=marker, s=28, label=label
            )
        axes.plot(
            [run.cost for run in shorter], [run.reward for run in shorter], "s--",
            color=COLORS["steps"], markersize=5, linewidth=1, label="fewer steps, uncached",
        )  # fmt: skip
        _names(axes, study.heuristics, COLORS["heuristic"], (5, 3), 6)
        _names(axes, shorter, COLORS["steps"], (5, -9), 7)
        axes.errorbar(
            [run.cost for run in front], [run.reward for run in front],
            yerr=[run.half or 0.0 for run in front], fmt="o-", color=COLORS["search"], markersize=4,
            linewidth=1.4, elinewidth=0.7, capsize=2, label="front",
        )  # fmt: skip
        fewer = [run for run in front if run.steps < full.steps]
        if fewer:
            axes.plot(
                [run.cost for run in fewer], [run.reward for run in fewer], "D", color=COLORS["steps"],
                fillstyle="none", markersize=8, markeredgewidth=1.2, label="front, of fewer steps",
            )  # fmt: skip
            _names(axes, fewer, COLORS["steps"], (6, -8), 7, [str(run.steps) for run in fewer])
        chosen = study.recommended
        if chosen is not None:
            axes.plot(
                chosen.run.cost, chosen.run.reward, "o", color=COLORS["uncached"], fillstyle="none", markersize=12,
                markeredgewidth=1.6, label=f"recommended, {chosen.run.speedup:.2f}x",
            )  # fmt: skip
        axes.plot(full.cost, full.reward, "*", color=COLORS["uncached"], markersize=13, label="uncached")
        axes.axhline(full.reward, color=COLORS["uncached"], linewidth=0.6, linestyle=":")
        # From a little below the rewards that matter.
        lowest = min(run.reward for run in study.telling_front)
        highest = max(full.reward, *(run.reward + (run.half or 0.0) for run in front))
        span = max(highest - lowest, 1e-9)
        axes.set_ylim(lowest - 0.6 * span, highest + 0.12 * span)
        axes.set_xlabel(f"{study.cost_unit} (lower is better)")
        axes.set_ylabel(f"mean reward: {study.reward_name} (higher is better)")
        axes.set_title(
            f"{study.name}: {len(study.runs)} schedules evaluated on {len(study.prompts)} prompts", fontsize=10
        )
        speedup_axis(axes, full.cost)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)
    shown: Figure = drawn
    return shown


def speedup_axis(axes: Any, full_cost: float) -> None:
    """Tell speedups above a cost axis whose limits are set."""
    above = axes.secondary_xaxis("top")
    marks = [mark for mark in (1, 1.25, 1.5, 2, 3, 5, 10) if full_cost / mark >= axes.get_xlim()[0]]
    above.set_xticks([full_cost / mark for mark in marks], [f"{mark:g}x" for mark in marks])


def _names(
    axes: Any,
    runs: Sequence[RunView],
    color: str,
    offset: tuple[int, int],
    size: int,
    names: Sequence[str] | None = None,
) -> None:
    for run, name in zip(runs, names or [run.origin for run in runs], strict=True):
        axes.annotate(
            name, (run.cost, run.reward), offset, textcoords="offset points", fontsize=size, color=color,
            annotation_clip=True,
        )  # fmt: skip
