"""The front as it seemed in the search beside the same schedules on unseen prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.plots.front_plot import speedup_axis
from ecad_automl.views.run import Confirmed, Kind, RunView
from ecad_automl.views.study import ConfirmedFront, StudyView

#: The axis is logarithmic down to this part of the largest difference, and linear from there to 0.
_DECADES = 1000

Unseen = Sequence[tuple[RunView, Confirmed]]


def plot_confirmation(path: Path, study: StudyView, found: ConfirmedFront) -> None:
    """Draw differences to the uncached run against cost: in the search, and with intervals on unseen prompts.

    Raises:
        FileError: the file cannot be written.
    """
    front, others = _confirmed(found.front), _confirmed(found.others)
    searched = [(run.cost, seen.searched_difference) for run, seen in front if seen.searched_difference is not None]
    heuristics = [pair for pair in others if pair[0].kind is Kind.HEURISTIC]
    shorter = [pair for pair in others if pair[0].kind is Kind.STEPS]
    with figure(path, 8.0, 5.2) as drawn:
        axes = drawn.add_subplot()
        axes.plot(
            [cost for cost, _ in searched], [difference for _, difference in searched], "o:", color=COLORS["search"],
            markersize=5, markerfacecolor="none", linewidth=1, alpha=0.7, label="front in the search",
        )  # fmt: skip
        _bars(axes, shorter, "s--", COLORS["steps"], "fewer steps, uncached", linewidth=1, named=True)
        _bars(axes, heuristics, "^", COLORS["heuristic"], "heuristics", named=True)
        axes.plot(
            [run.cost for run, _ in front], [seen.difference for _, seen in front], color=COLORS["search"],
            linewidth=0.8,
        )  # fmt: skip
        for survives, style, color in ((True, "o", COLORS["search"]), (False, "X", COLORS["beaten"])):
            label = f"on unseen prompts: {'survives' if survives else 'beaten'}"
            _bars(axes, [pair for pair in front if pair[1].survives is survives], style, color, label)
        axes.plot(study.uncached.cost, 0.0, "*", color=COLORS["uncached"], markersize=13, label="uncached")
        axes.axhline(0.0, color=COLORS["uncached"], linewidth=0.6, linestyle=":")
        # Drops grow by orders of magnitude along a front, and verdicts are on all of it.
        largest = max([abs(seen.difference) for _, seen in front], default=0.0)
        if largest > 0:
            axes.set_yscale("symlog", linthresh=largest / _DECADES, linscale=0.5)
            best = max(seen.difference for _, seen in [*front, *shorter, *heuristics])
            axes.set_ylim(-2 * largest, max(2 * best, 2 * largest / _DECADES))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{study.cost_unit} (lower is better)")
        axes.set_ylabel(f"difference to uncached: {study.reward_name} (higher is better)")
        axes.set_title(
            f"{study.name}: {len(found.survivors)} of {len(found.front)} schedules survive on {found.prompts} unseen "
            "prompts",
            fontsize=10,
        )
        speedup_axis(axes, study.uncached.cost)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)


def _confirmed(runs: Sequence[RunView]) -> Unseen:
    return [(run, run.confirmed) for run in runs if run.confirmed is not None]


def _bars(
    axes: Any, pairs: Unseen, style: str, color: str, label: str, *, linewidth: float = 0, named: bool = False
) -> None:
    if not pairs:
        return
    axes.errorbar(
        [run.cost for run, _ in pairs], [seen.difference for _, seen in pairs], yerr=[seen.half for _, seen in pairs],
        fmt=style, color=color, markersize=5, linewidth=linewidth, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip
    for run, seen in pairs if named else ():
        axes.annotate(
            run.origin, (run.cost, seen.difference), (5, -9), textcoords="offset points", fontsize=7, color=color,
            annotation_clip=True,
        )  # fmt: skip
