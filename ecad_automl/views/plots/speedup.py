"""A picture of measured speedups against those that MACs promise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecad_automl.latency.result import Batch, BenchResult, Kind, Row, Spread
from ecad_automl.views.plots.figure import COLORS, figure

#: Color, marker and label.
_STYLES: Mapping[Kind, tuple[str, str, str]] = {
    "uncached": (COLORS["uncached"], "*", "uncached"),
    "schedule": (COLORS["search"], "o", "schedules"),
    "fewer steps": (COLORS["steps"], "s", "fewer steps, uncached"),
    "cache": (COLORS["heuristic"], "^", "other caches"),
}
_TICKS = (0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50)
#: Room that the name of a row takes, in pixels at the resolution of the figure.
_NAME_WIDTH, _NAME_HEIGHT = 150, 13


Measured = tuple[Row, float, Spread]


def plot_speedup(path: Path, result: BenchResult) -> None:
    """Draw how much faster each row is against how many times fewer MACs it does, a panel for each batch size.

    Filled markers are the transformer's time, hollow ones the whole call; on the diagonal a run is as fast as its MACs
    promise.

    Raises:
        EcadError: the file cannot be written.
    """
    batches = [batch for batch in result.batches if batch.rows]
    with figure(path, 1.4 + 5.4 * len(batches), 5.0) as drawn:
        panels = drawn.subplots(1, len(batches), squeeze=False, sharex=True, sharey=True)[0]
        points = [_measured(batch) for batch in batches]
        _scales(panels, [point for panel in points for point in panel])
        for axes, batch, measured in zip(panels, batches, points, strict=True):
            for kind in _STYLES:
                _points(axes, kind, [point for point in measured if point[0].kind == kind], batch, whole=result.whole)
            _names(axes, measured)
            axes.set_title(f"{batch.size} image{'s' * (batch.size > 1)} per call, {batch.rounds} rounds", fontsize=9)
            axes.set_xlabel("times fewer MACs")
        panels[0].set_ylabel("times as fast as uncached")
        if result.whole:
            panels[0].plot([], [], "o", color="gray", markerfacecolor="white", label="hollow: whole call")
        panels[0].legend(loc="upper left", fontsize=7)
        about = result.about
        name = Path(about["model"]).name
        drawn.suptitle(f"{name} in {about['dtype']} on {about['device_name']}", fontsize=10)


def _measured(batch: Batch) -> list[Measured]:
    """The rows whose MACs are known, with them and the speedup of the transformer's time."""
    return [(row, row.mac_speedup, batch.transformer_speedup(row)) for row in batch.rows if row.mac_speedup is not None]


def _points(axes: Any, kind: Kind, measured: Sequence[Measured], batch: Batch, *, whole: bool) -> None:
    if not measured:
        return
    color, marker, label = _STYLES[kind]
    macs, medians = [macs for _, macs, _ in measured], [speedup.median for _, _, speedup in measured]
    ends = [[s.median - s.low for _, _, s in measured], [s.high - s.median for _, _, s in measured]]
    axes.errorbar(
        macs, medians, yerr=ends, fmt=marker, color=color, markersize=11 if kind == "uncached" else 5, elinewidth=0.8,
        capsize=2, label=label,
    )  # fmt: skip
    if whole and kind != "uncached":
        calls = [batch.whole_speedup(row).median for row, _, _ in measured]
        axes.plot(macs, calls, marker, markersize=5, color=color, markerfacecolor="white")


def _names(axes: Any, measured: Sequence[Measured]) -> None:
    """Write the names of the rows beside their points, from the bottom up, each above those that are in its way."""
    middle = axes.transAxes.transform((0.6, 0))[0]
    taken: list[tuple[float, float]] = []
    for row, macs, speedup in sorted(measured, key=lambda item: item[2].median):
        if row.kind == "uncached":
            continue
        x, y = axes.transData.transform((macs, speedup.median))
        leftward = x > middle
        start = x - _NAME_WIDTH if leftward else x
        while any(abs(start - other) < _NAME_WIDTH and abs(y - at) < _NAME_HEIGHT for other, at in taken):
            y += 1.0
        taken.append((start, y))
        lifted = (y - axes.transData.transform((macs, speedup.median))[1]) * 72 / axes.figure.dpi
        axes.annotate(
            row.name, (macs, speedup.median), (-6 if leftward else 6, 2 + lifted), textcoords="offset points",
            ha="right" if leftward else "left", fontsize=6, color=_STYLES[row.kind][0],
        )  # fmt: skip


def _scales(panels: Iterable[Any], measured: Sequence[Measured]) -> None:
    """Logarithmic axes that show everything, and the diagonal."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    right = max(1.3, 1.25 * max(macs for _, macs, _ in measured))
    bottom = 0.9 * min([1.0, *(speedup.low for _, _, speedup in measured)])
    top = max(right, 1.25 * max(speedup.high for _, _, speedup in measured))
    for axes in panels:
        axes.plot(
            [bottom, top], [bottom, top], "--", color="gray", linewidth=0.8, zorder=0, label="as fast as MACs promise"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(_TICKS))
            axis.set_major_formatter(FixedFormatter([f"{tick:g}x" for tick in _TICKS]))
            axis.set_minor_locator(NullLocator())
        axes.set_xlim(0.9, right)
        axes.set_ylim(bottom, top)
        axes.grid(alpha=0.25)
