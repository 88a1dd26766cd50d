"""Where the schedules of a front compute, as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.study import StudyView

_SERIES = (COLORS["search"], COLORS["heuristic"], COLORS["steps"], "#CC79A7", COLORS["beaten"], "#56B4E9")
_MARKERS = "os^Dvx"


def plot_shares(path: Path, study: StudyView) -> None:
    """Draw shares computed: by component over the speedup; by step and by depth for every schedule of the front.

    Raises:
        EcadError: the file cannot be written.
    """
    front, layout = study.front, study.layout
    bits = np.stack([study.schedule(run).effective for run in front])
    speedups = [run.speedup for run in front]
    with figure(path, 12.0, 4.2) as drawn:
        component, step, depth = drawn.subplots(1, 3)
        for index, name in enumerate(layout.components):
            component.plot(
                speedups, bits[:, :, layout.component_index == index].mean(axis=(1, 2)),
                f"{_MARKERS[index % len(_MARKERS)]}-", color=_SERIES[index % len(_SERIES)], markersize=4, linewidth=1.2,
                label=name,
            )  # fmt: skip
        component.set_xscale("log")
        component.xaxis.set_major_formatter("{x:g}x")
        component.xaxis.set_minor_formatter("{x:g}x")
        component.tick_params(axis="x", which="both", labelsize=7)
        component.set_xlabel("speedup")
        component.set_ylabel("share computed")
        component.set_ylim(0, 1.03)
        component.grid(alpha=0.25)
        component.legend(fontsize=8)
        blocks = np.stack([bits[:, :, layout.block_index == b].mean(axis=(1, 2)) for b in range(len(layout.blocks))], 1)
        for axes, shares, title in ((step, bits.mean(axis=2), "denoising step"), (depth, blocks, "block")):
            shown = axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            rows = np.unique(np.linspace(0, len(front) - 1, min(10, len(front))).round().astype(int))
            axes.set_yticks(rows, [f"{speedups[row]:.2f}x" for row in rows], fontsize=7)
            axes.set_xlabel(title)
            axes.set_ylabel("schedule of the front")
            axes.xaxis.get_major_locator().set_params(integer=True)
        drawn.colorbar(shown, ax=(step, depth), label="share computed", shrink=0.8)
        drawn.suptitle(f"{study.name}: where the front computes", fontsize=10)
