"""The front as it seemed in the search beside the same schedules on unseen prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.plots.front import Point, speedup_axis

__all__ = ["plot_confirmation"]

#: The axis is logarithmic down to this part of the largest difference, and linear from there to 0.
_DECADES = 1000


def plot_confirmation(
    path: Path,
    *,
    searched: Sequence[Point],
    survivors: Sequence[Point],
    beaten: Sequence[Point],
    heuristics: Sequence[Point],
    fewer_steps: Sequence[Point],
    full_cost: float,
    reward_name: str,
    cost_name: str = "GMACs per image",
    title: str,
) -> None:
    """Draw differences to the uncached run against cost: in the search, and with intervals on unseen prompts.

    Args:
        path: the PNG file to write.
        searched: the front in the search.
        survivors: the schedules of the front that survive, on unseen prompts.
        beaten: those that do not.
        heuristics: published heuristics on unseen prompts.
        fewer_steps: uncached runs on unseen prompts.
        full_cost: of the uncached run.
        reward_name: what was scored with.
        cost_name: what is minimized, with its unit.
        title: of the figure.
    """
    with figure(path, 8.0, 5.2) as drawn:
        axes = drawn.add_subplot()
        front = sorted([*survivors, *beaten], key=lambda point: point.cost)
        apparent = sorted(searched, key=lambda point: point.cost)
        axes.plot(
            [p.cost for p in apparent], [p.reward for p in apparent], "o:", color=COLORS["search"], markersize=5,
            markerfacecolor="none", linewidth=1, alpha=0.7, label="front in the search",
        )  # fmt: skip
        _bars(axes, fewer_steps, "s--", COLORS["steps"], "fewer steps, uncached", linewidth=1)
        _bars(axes, heuristics, "^", COLORS["heuristic"], "heuristics")
        axes.plot([p.cost for p in front], [p.reward for p in front], color=COLORS["search"], linewidth=0.8)
        _bars(axes, survivors, "o", COLORS["search"], "on unseen prompts: survives")
        _bars(axes, beaten, "X", COLORS["beaten"], "on unseen prompts: beaten")
        axes.plot(full_cost, 0.0, "*", color=COLORS["uncached"], markersize=13, label="uncached")
        axes.axhline(0.0, color=COLORS["uncached"], linewidth=0.6, linestyle=":")
        # Drops grow by orders of magnitude along a front, and verdicts are on all of it.
        largest = max([abs(point.reward) for point in front], default=0.0)
        if largest > 0:
            axes.set_yscale("symlog", linthresh=largest / _DECADES, linscale=0.5)
            best = max(point.reward for point in [*front, *fewer_steps, *heuristics])
            axes.set_ylim(-2 * largest, max(2 * best, 2 * largest / _DECADES))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{cost_name} (lower is better)")
        axes.set_ylabel(f"difference to uncached: {reward_name} (higher is better)")
        axes.set_title(title, fontsize=10)
        speedup_axis(axes, full_cost)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)


def _bars(axes: Any, points: Sequence[Point], style: str, color: str, label: str, linewidth: float = 0) -> None:
    if not points:
        return
    axes.errorbar(
        [p.cost for p in points], [p.reward for p in points], yerr=[p.error for p in points], fmt=style, color=color,
        markersize=5, linewidth=linewidth, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip
    for point in points:
        axes.annotate(
            point.label, (point.cost, point.reward), (5, -9), textcoords="offset points", fontsize=7, color=color,
            annotation_clip=True,
        )  # fmt: skip
