"""The front of a search beside everything that it is to be compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import StudyView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Difference of the logarithms of speedups below which two equal names would be drawn over each other.
_NEAR = 0.03


def plot_front(path: Path | None, study: StudyView) -> Figure:
    """Draw reward against speedup, from the uncached run at 1x to the right, with the cost on a second axis.

    Rewards far below all that matters are cut off: the axes end a little below and beyond the worst front point at 5x.
    The figure is returned, and saved as PNG where a path is given.

    Raises:
        FileError: the file cannot be written.
        StudyError: the front is empty.
    """
    front, full = study.some_front(), study.uncached
    shorter = (*study.searched_shorter, full)
    with figure(path, 8.0, 5.2) as drawn:
        axes = drawn.add_subplot()
        _set_limits(axes, study)
        others = study.of_kind(Kind.EVALUATED, Kind.STOPPED, Kind.INFEASIBLE)
        for runs, color, marker, label in (
            (others, COLORS["candidate"], ".", "evaluated"),
            (study.heuristics, COLORS["heuristic"], "^", "heuristics"),
        ):
            if runs:
                axes.scatter(*_places(runs), color=color, marker=marker, s=28, label=label)
        axes.plot(
            *_places(shorter), "s--", color=COLORS["steps"], markersize=5, linewidth=1, label="fewer steps, uncached"
        )
        axes.errorbar(
            *_places(front), yerr=[run.half or 0.0 for run in front], fmt="o-", color=COLORS["search"], markersize=4,
            linewidth=1.4, elinewidth=0.7, capsize=2, label="front",
        )  # fmt: skip
        fewer = [run for run in front if run.steps < full.steps]
        if fewer:
            axes.plot(
                *_places(fewer), "D", color=COLORS["steps"], fillstyle="none", markersize=8, markeredgewidth=1.2,
                label="front, of fewer steps",
            )  # fmt: skip
            _names(axes, fewer, COLORS["steps"], (7, 3), 7, [str(run.steps) for run in fewer])
        chosen = study.recommended
        if chosen is not None:
            axes.plot(
                *_places([chosen.run]), "o", color=COLORS["uncached"], fillstyle="none", markersize=12,
                markeredgewidth=1.6, label=f"recommended, {chosen.run.speedup:.2f}x",
            )  # fmt: skip
        axes.plot(*_places([full]), "*", color=COLORS["uncached"], markersize=13, label="uncached")
        axes.axhline(full.reward, color=COLORS["uncached"], linewidth=0.6, linestyle=":")
        # To the left of the markers: whiskers stand upright, and lines go on to the right below.
        _names(axes, study.heuristics, COLORS["heuristic"], (-5, 4), 6)
        _names(axes, shorter[:-1], COLORS["steps"], (-5, -9), 7)
        axes.set_xlabel(f"speedup in {'time' if study.timed else 'MACs'} (higher is better)")
        axes.set_ylabel(f"mean reward: {study.reward_name} (higher is better)")
        axes.set_title(
            f"{study.name}: {len(study.runs)} schedules evaluated on {len(study.prompts)} prompts", fontsize=10
        )
        _cost_axis(axes, study)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower left", fontsize=8)
    shown: Figure = drawn
    return shown


def _places(runs: Sequence[RunView]) -> tuple[list[float], list[float]]:
    return [run.speedup for run in runs], [run.reward for run in runs]


def _set_limits(axes: Any, study: StudyView) -> None:
    """From 1x to a little beyond, and a little below, what matters."""
    telling, full = study.telling_front, study.uncached
    lowest = min(run.reward for run in telling)
    highest = max(full.reward, *(run.reward + (run.half or 0.0) for run in study.front))
    span = max(highest - lowest, 1e-9)
    axes.set_xscale("log")
    axes.set_xlim(0.96 * min(1.0, *(run.speedup for run in study.front)), 1.1 * max(1.2, telling[0].speedup))
    axes.set_ylim(lowest - 0.6 * span, highest + 0.12 * span)
    marks = [mark for mark in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20) if mark <= axes.get_xlim()[1]]
    axes.set_xticks(marks, [f"{mark:g}x" for mark in marks])
    axes.set_xticks([], minor=True)


def _cost_axis(axes: Any, study: StudyView) -> None:
    above = axes.secondary_xaxis("top")
    marks = axes.get_xticks()
    above.set_xticks(marks, [f"{study.uncached.cost / mark:.3g}" for mark in marks])
    above.set_xticks([], minor=True)
    above.set_xlabel(study.cost_unit, fontsize=8)


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
    """Names beside their markers; none outside of the frame, nor where it would hang over its edge or its own like."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    last: dict[str, float] = {}
    for run, name in zip(runs, names or [run.origin for run in runs], strict=True):
        if name in last and abs(math.log(run.speedup / last[name])) < _NEAR:
            continue
        last[name] = run.speedup
        if left * 1.06 < run.speedup < right / 1.03 and low + 0.03 * (high - low) < run.reward < high:
            axes.annotate(
                name, (run.speedup, run.reward), offset, textcoords="offset points", fontsize=size, color=color,
                ha="right" if offset[0] < 0 else "left",
            )  # fmt: skip
