"""A schedule as a picture: which component of which block is computed at which step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.plots.figure import COLORS, figure
from ecad_automl.schedule import Schedule

__all__ = ["plot_heatmap"]


def plot_heatmap(path: Path, schedule: Schedule, *, title: str) -> None:
    """Draw one panel per component: blocks downwards, steps to the right, dark where computed."""
    from matplotlib.colors import ListedColormap

    layout = schedule.layout
    rows = [np.flatnonzero(layout.component_index == index) for index in range(len(layout.components))]
    heights = [len(row) for row in rows]
    width = max(4.0, 1.2 + 0.22 * schedule.steps)
    with figure(path, width, 1.4 + 0.16 * sum(heights) + 0.3 * len(rows)) as drawn:
        panels = drawn.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        colors = ListedColormap([COLORS["reuse"], COLORS["compute"]])
        for axes, component, slots in zip(panels, layout.components, rows, strict=True):
            bits = schedule.effective[:, slots].T
            axes.imshow(bits, cmap=colors, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
            axes.set_xticks(np.arange(-0.5, schedule.steps), minor=True)
            axes.set_yticks(np.arange(-0.5, len(slots)), minor=True)
            axes.grid(which="minor", color="white", linewidth=0.7)
            axes.tick_params(which="minor", length=0)
            axes.set_ylabel(f"{component}\nblock", fontsize=8)
            axes.set_title(f"{component}: {bits.mean():.0%} computed", fontsize=8, loc="left")
            axes.yaxis.get_major_locator().set_params(integer=True)
        panels[-1].set_xlabel("denoising step")
        panels[-1].xaxis.get_major_locator().set_params(integer=True)
        drawn.suptitle(
            f"{title}\n{schedule.gmacs:.2f} GMACs, {schedule.mac_speedup:.2f}x fewer than uncached", fontsize=9
        )
