"""A schedule as a picture: which component of which block is computed at which step."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.plots.figure import COLORS, figure

#: Rows of all components up to which their panels stand below each other; more would make a strip that nobody can see
#: at once, and stand side by side.
_STACKED = 40
_COLUMNS = 3
#: Inches of such a picture, so that a page shows it whole.
_WIDE = 6.6


def plot_heatmap(path: Path, schedule: Schedule, *, title: str) -> None:
    """Draw one panel per component: blocks downwards, steps to the right, dark where computed."""
    from matplotlib.colors import ListedColormap

    layout = schedule.layout
    members = [np.flatnonzero(layout.component_index == index) for index in range(len(layout.components))]
    columns = 1 if len(layout) <= _STACKED else min(_COLUMNS, len(members))
    heights = [max(map(len, members[first : first + columns])) for first in range(0, len(members), columns)]
    width, row = (max(4.0, 1.2 + 0.22 * schedule.steps), 0.16) if columns == 1 else (_WIDE, 0.1)
    with figure(path, width, 1.4 + row * sum(heights) + 0.3 * len(heights)) as drawn:
        panels = drawn.subplots(len(heights), columns, sharex=True, squeeze=False, height_ratios=heights)
        colors = ListedColormap([COLORS["reuse"], COLORS["compute"]])
        for axes, component, slots in zip(panels.flat, layout.components, members, strict=False):
            bits = schedule.effective[:, slots].T
            # Edges of cells are drawn many times faster than lines of a grid.
            down, right = (np.arange(count + 1) - 0.5 for count in bits.shape)
            axes.pcolormesh(
                right,
                down,
                bits,
                cmap=colors,
                vmin=0,
                vmax=1,
                edgecolors="white",
                linewidth=0.5 if columns == 1 else 0.3,
            )
            axes.set_ylim(down[-1], down[0])
            axes.set_ylabel(f"{component}\nblock" if columns == 1 else "block", fontsize=8)
            axes.tick_params(labelsize=8)
            axes.set_title(f"{component}: {bits.mean():.0%} computed", fontsize=8, loc="left")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.yaxis.get_major_locator().set_params(integer=True)
        for axes in panels.flat[len(members) :]:
            axes.remove()
        for axes in panels[-1]:
            axes.set_xlabel("denoising step", fontsize=9)
        drawn.suptitle(
            f"{title}\n{schedule.gmacs:.2f} GMACs, {schedule.mac_speedup:.2f}x fewer than uncached", fontsize=9
        )
