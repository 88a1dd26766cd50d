"""Pictures: of a schedule, which component of which block is computed at which step; and of images side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.cells import CELLS, COMPUTED, SKIPPED, cells, guidance_cells, legend
from ecad_automl.views.plots.figure import figure

#: Rows of all components up to which their panels stand below each other; more would make a strip that nobody can see
#: at once, and stand side by side.
_STACKED = 40
_COLUMNS = 3
_HATCHED = {"facecolor": CELLS[SKIPPED].color, "edgecolor": "#8A949E", "hatch": "/////", "linewidth": 0}
#: Inches of such a picture, so that a page shows it whole.
_WIDE = 6.6
#: Of a difference between images, so that it is seen.
AMPLIFICATION = 4
#: Inches of an image, and of one among many columns.
_LARGE, _SMALL, _FEW = 2.0, 1.5, 5


def plot_heatmap(path: Path, schedule: Schedule, *, title: str) -> None:
    """Draw one panel per component: blocks downwards, steps to the right, by what is done there."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    layout = schedule.layout
    members = [np.flatnonzero(layout.component_index == index) for index in range(len(layout.components))]
    columns = 1 if len(layout) <= _STACKED else min(_COLUMNS, len(members))
    guidance = guidance_cells(schedule)
    heights = [max(map(len, members[first : first + columns])) for first in range(0, len(members), columns)]
    if guidance is not None:
        heights = [max(1, max(heights) // 8), *heights]
    width, row = (max(4.0, 1.2 + 0.22 * schedule.steps), 0.16) if columns == 1 else (_WIDE, 0.1)
    with figure(path, width, 1.4 + row * sum(heights) + 0.3 * len(heights)) as drawn:
        panels = drawn.subplots(len(heights), columns, sharex=True, squeeze=False, height_ratios=heights)
        colors = ListedColormap([cell.color for cell in CELLS])
        drawn_cells = cells(schedule)
        skipped = np.flatnonzero(schedule.skip)
        named = [
            (component, drawn_cells[:, slots].T) for component, slots in zip(layout.components, members, strict=True)
        ]
        if guidance is not None:  # a row on top
            named = [("guidance", guidance[None]), *[("", guidance[None, :0])] * (columns - 1), *named]
        for axes, (component, bits) in zip(panels.flat, named, strict=False):
            if not bits.size:
                axes.remove()
                continue
            # Edges of cells are drawn many times faster than lines of a grid.
            down, right = (np.arange(count + 1) - 0.5 for count in bits.shape)
            axes.pcolormesh(
                right,
                down,
                bits,
                cmap=colors,
                vmin=-0.5,
                vmax=len(CELLS) - 0.5,
                edgecolors="white",
                linewidth=0.5 if columns == 1 else 0.3,
            )
            for step in skipped:
                axes.axvspan(step - 0.5, step + 0.5, **_HATCHED)
            axes.set_ylim(down[-1], down[0])
            axes.tick_params(labelsize=8)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if component == "guidance":
                axes.set_yticks([])
                axes.set_title(f"guidance: both branches in {(bits == COMPUTED).mean():.0%}", fontsize=8, loc="left")
                continue
            axes.set_ylabel(f"{component}\nblock" if columns == 1 else "block", fontsize=8)
            axes.set_title(f"{component}: {(bits == COMPUTED).mean():.0%} computed", fontsize=8, loc="left")
            axes.yaxis.get_major_locator().set_params(integer=True)
        for axes in panels.flat[len(named) :]:
            axes.remove()
        for axes in panels[-1]:
            axes.set_xlabel("denoising step", fontsize=9)
        shown = legend(schedule)
        if len(shown) > 2:  # what is dark and what is light needs no telling
            patches = [
                Patch(label=CELLS[cell].name, **(_HATCHED if cell == SKIPPED else {"facecolor": CELLS[cell].color}))
                for cell in shown
            ]
            drawn.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
        saved = f"{schedule.mac_speedup:.2f}x fewer than {schedule.steps} uncached steps"
        drawn.suptitle(f"{title}\n{schedule.gmacs:.2f} GMACs, {saved}", fontsize=9)


def image_grid(path: Path, columns: Mapping[str, NDArray[np.float32]], prompts: Sequence[str]) -> None:
    """Draw the images of several runs of the same prompts and seeds, and below each how it differs from the first run.

    Args:
        path: the PNG file to write.
        columns: heading -> ``(n, h, w, 3)`` float in [0, 1]; the first is what the others are compared with.
        prompts: ``n`` texts for the rows.
    """
    rows: list[tuple[str, list[NDArray[np.float32] | None]]] = []
    for index, prompt in enumerate(prompts):
        first, *others = [images[index] for images in columns.values()]
        rows.append((prompt, [first, *others]))
        if others:
            differences = [AMPLIFICATION * np.abs(image - first) for image in others]
            rows.append((f"difference, times {AMPLIFICATION}", [None, *differences]))
    size = _LARGE if len(columns) <= _FEW else _SMALL
    with figure(path, size * len(columns) + 1.9, size * len(rows) + 0.5) as drawn:
        panels = drawn.subplots(len(rows), len(columns), squeeze=False)
        for panel, heading in zip(panels[0], columns, strict=True):
            panel.set_title(heading, fontsize=8)
        for (label, images), line in zip(rows, panels, strict=True):
            for image, panel in zip(images, line, strict=True):
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
                if image is not None:
                    panel.imshow(np.clip(image, 0, 1), interpolation="nearest")
            text = "\n".join(textwrap.wrap(label, 26))
            line[0].set_ylabel(text, fontsize=6, rotation=0, ha="right", va="center", labelpad=6)
