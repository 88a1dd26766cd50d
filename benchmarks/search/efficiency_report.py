"""What runs of searches say when all are paid for in images: tables, needed images, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.kept import Run
from benchmarks.search.yardstick import Yardstick

__all__ = ["MARKS", "at_marks", "by_images", "left_out_table", "less_than_whole", "needed_images", "plot", "table"]

Floats = NDArray[np.float64]

#: Budgets at which hypervolumes are reported, in the images of so many whole evaluations.
MARKS = (24, 50, 100, 200, 300, 600, 1000, 2000)


def by_images(run: Run, yardstick: Yardstick, images: int, *, wide: bool = False) -> Floats:
    """Normalized hypervolume after the images of 1, 2, 3, ... whole evaluations, up to the budget of a run.

    Args:
        run: whose points say how many images had been paid for.
        yardstick: of the landscape.
        images: of a whole evaluation.
        wide: see :meth:`~benchmarks.search.yardstick.Yardstick.curve`.
    """
    curve = np.concatenate([[0.0], yardstick.curve(run.points, wide=wide)])
    paid = np.array([point.images for point in run.points])
    budgets = images * np.arange(1, run.evaluations + 1)
    found: Floats = curve[np.searchsorted(paid, budgets, side="right")]
    return found


def at_marks(curves: Sequence[Floats]) -> dict[int, list[float]]:
    """The hypervolumes of all seeds at each mark that any of them has reached."""
    return {
        mark: [round(float(curve[mark - 1]), 4) for curve in curves if len(curve) >= mark]
        for mark in MARKS
        if any(len(curve) >= mark for curve in curves)
    }


def needed_images(run: Run, yardstick: Yardstick, level: float) -> int | None:
    """Images after which a level of hypervolume is reached, or None."""
    reached = np.flatnonzero(yardstick.curve(run.points) >= level)
    return run.points[reached[0]].images if len(reached) else None


def table(values: Mapping[str, Mapping[int, Sequence[float]]], seeds: Mapping[str, int]) -> str:
    """Median and range of the seeds of each search, at each mark."""
    marks = [mark for mark in MARKS if any(mark in found for found in values.values())]
    lines = ["| search | seeds | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 2) + "|"]
    for name, found in values.items():
        cells = [_cell(found[mark]) if mark in found else "-" for mark in marks]
        lines.append(f"| {name} | {seeds[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    middle = f"{np.median(values):.3f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3f} to {max(values):.3f})"


def less_than_whole(whole: Mapping[int, Floats], parts: Mapping[str, Mapping[int, Floats]]) -> dict[str, Any]:
    """What leaving out each part of a search costs: differences of hypervolume to the whole one with the same seed.

    Args:
        whole: a curve for each seed, as of :func:`by_images`.
        parts: the same for each search with a part left out.

    Returns:
        After the images of how many evaluations, and the differences of all seeds by search.
    """
    most = min(len(curve) for curves in parts.values() for curve in curves.values())
    differences = {}
    for name, curves in parts.items():
        found = [curve[most - 1] - whole[seed][most - 1] for seed, curve in curves.items() if seed in whole]
        differences[name] = np.round(found, 6).tolist()
    return {"evaluations": most, "differences": differences}


def left_out_table(found: Mapping[str, Sequence[float]]) -> str:
    """Mean difference and range of the seeds, and p of a paired t-test, before and after Holm's correction."""
    from ecad_automl.judging.statistics import holm

    p = np.array([stats.ttest_1samp(values, 0).pvalue for values in found.values()])
    lines = ["| search | seeds | difference | p | corrected |", "|---|---|---|---|---|"]
    for (name, values), raw, corrected in zip(found.items(), p, holm(p), strict=True):
        spread = f"{np.mean(values):+.3f} ({min(values):+.3f} to {max(values):+.3f})"
        lines.append(f"| {name} | {len(values)} | {spread} | {raw:.2g} | {corrected:.2g} |")
    return "\n".join(lines)


def plot(path: Path, panels: Mapping[str, Mapping[str, Sequence[Floats]]], images: int, first: int = 12) -> None:
    """Draw hypervolume against images, one panel beside the other; a band goes from the lowest to the highest seed.

    Args:
        path: the PNG file to write.
        panels: title -> search -> one curve for each seed, as of :func:`by_images`. The first search stands out.
        images: of a whole evaluation.
        first: evaluations' worth of images at which the axis begins.
    """
    from ecad_automl.views.plots.figure import figure

    with figure(path, 6.2 * len(panels), 5.0) as drawn:
        axes: Any = drawn.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, searches) in zip(axes, panels.items(), strict=True):
            styles = ("-", "--", ":", "-.")
            for number, (name, curves) in enumerate(searches.items()):
                values = np.stack([curve[: min(map(len, curves))] for curve in curves])
                at = images * np.arange(1, values.shape[1] + 1)
                style = {"linewidth": 2.5, "color": "black"} if number == 0 else {"linewidth": 1.3}
                (line,) = axis.plot(
                    at, np.median(values, axis=0), label=name, linestyle=styles[number // 9 % len(styles)], **style
                )
                axis.fill_between(at, values.min(axis=0), values.max(axis=0), alpha=0.12, color=line.get_color())
            shown = [curve[first:] for curves in searches.values() for curve in curves if len(curve) > first]
            lowest = min(float(curve[0]) for curve in shown)
            axis.set_ylim(max(0.0, lowest - 0.005), max(float(curve.max()) for curve in shown) + 0.005)
            axis.set_xscale("log")
            axis.set_xlim(left=first * images)
            axis.set_xlabel("images generated")
            axis.set_title(title, fontsize=10)
            axis.grid(alpha=0.25, which="both")
            axis.legend(fontsize=7.5, loc="lower right")
        axes[0].set_ylabel("normalized hypervolume")
