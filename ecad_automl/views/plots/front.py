"""The front of a search beside everything that it is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecad_automl.views.plots.figure import COLORS, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Point", "plot_front", "speedup_axis"]


@dataclass(frozen=True)
class Point:
    """A schedule or run in the plane of cost and reward.

    Args:
        cost: what is minimized.
        reward: mean reward.
        error: half width of the reward's interval, 0 for none.
        label: shown beside the point where it is not empty.
    """

    cost: float
    reward: float
    error: float = 0.0
    label: str = ""


def plot_front(
    path: Path | None,
    *,
    front: Sequence[Point],
    candidates: Sequence[Point],
    heuristics: Sequence[Point],
    fewer_steps: Sequence[Point],
    uncached: Point,
    reward_name: str,
    cost_name: str = "GMACs per image",
    title: str,
) -> Figure:
    """Draw reward against cost, with the speedup on a second axis.

    Rewards far below all that matters are cut off: the axis starts a little below the worst front point at 5x. The
    figure is returned, and saved where a path is given.
    """
    with figure(path, 8.0, 5.2) as drawn:
        axes = drawn.add_subplot()
        _scatter(axes, candidates, COLORS["candidate"], ".", "evaluated")
        _scatter(axes, heuristics, COLORS["heuristic"], "^", "heuristics", labels=True)
        axes.plot(
            [p.cost for p in fewer_steps], [p.reward for p in fewer_steps], "s--", color=COLORS["steps"],
            markersize=5, linewidth=1, label="fewer steps, uncached",
        )  # fmt: skip
        for point in fewer_steps:
            axes.annotate(
                point.label, (point.cost, point.reward), (5, -9), textcoords="offset points", fontsize=7,
                color=COLORS["steps"], annotation_clip=True,
            )  # fmt: skip
        ordered = sorted(front, key=lambda point: point.cost)
        axes.errorbar(
            [p.cost for p in ordered], [p.reward for p in ordered], yerr=[p.error for p in ordered], fmt="o-",
            color=COLORS["search"], markersize=4, linewidth=1.4, elinewidth=0.7, capsize=2, label="front",
        )  # fmt: skip
        axes.plot(uncached.cost, uncached.reward, "*", color=COLORS["uncached"], markersize=13, label="uncached")
        axes.axhline(uncached.reward, color=COLORS["uncached"], linewidth=0.6, linestyle=":")
        _limit(axes, ordered, uncached)
        axes.set_xlabel(f"{cost_name} (lower is better)")
        axes.set_ylabel(f"mean reward: {reward_name} (higher is better)")
        axes.set_title(title, fontsize=10)
        speedup_axis(axes, uncached.cost)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)
    shown: Figure = drawn
    return shown


def speedup_axis(axes: Any, full_cost: float) -> None:
    """Tell speedups above a cost axis whose limits are set."""
    above = axes.secondary_xaxis("top")
    marks = [mark for mark in (1, 1.25, 1.5, 2, 3, 5, 10) if full_cost / mark >= axes.get_xlim()[0]]
    above.set_xticks([full_cost / mark for mark in marks], [f"{mark:g}x" for mark in marks])


def _limit(axes: object, front: Sequence[Point], uncached: Point) -> None:
    """Show the rewards that matter: from a little below the front at a fifth of the cost.

    Where hardly anything is that cheap, the cheapest schedules are far down, and do not matter either.
    """
    cheap = max(uncached.cost / 5, 1.2 * min(point.cost for point in front))
    dear = [point.reward for point in front if point.cost >= cheap] or [p.reward for p in front]
    lowest, highest = min(dear), max([uncached.reward, *(p.reward + p.error for p in front)])
    span = max(highest - lowest, 1e-9)
    axes.set_ylim(lowest - 0.6 * span, highest + 0.12 * span)  # type: ignore[attr-defined]


def _scatter(
    axes: object, points: Sequence[Point], color: str, marker: str, label: str, *, labels: bool = False
) -> None:
    axes.scatter(  # type: ignore[attr-defined]
        [p.cost for p in points], [p.reward for p in points], color=color, marker=marker, s=28, label=label
    )
    for point in points if labels else ():
        axes.annotate(  # type: ignore[attr-defined]
            point.label, (point.cost, point.reward), (5, 3), textcoords="offset points", fontsize=6, color=color,
            annotation_clip=True,
        )  # fmt: skip
