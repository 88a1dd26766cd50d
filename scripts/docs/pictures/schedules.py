"""Pictures of a schedule, of reuse, and of drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecad_automl.schedules.forecast import staleness
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.cells import CELLS, SKIPPED, cells, legend
from scripts.docs.pictures.study import Study
from scripts.docs.pictures.style import COLORS, INK, MUTED, drawing

__all__ = ["drift", "reuse", "schedule"]

#: What a component is in words.
_WORDS = {"attn1": "self-attention", "attn2": "cross-attention", "ff": "feed-forward"}


#: Savings of the schedules that are shown.
_SPEEDUP = 2.5


def schedule(study: Study, path: Path) -> None:
    """Two schedules: components beside each other, blocks downwards, steps to the right."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    forecasting, skipping = _forecasting(study), _skipping(study)
    layout = forecasting.layout
    with drawing(path, 8.4, 4.9) as figure:
        grid = figure.subplots(2, len(layout.components), sharex=True, sharey=True)
        rows = ((forecasting, "slots reused and forecast"), (skipping, "most steps skipped, some slots reused"))
        for panels, (found, told) in zip(grid, rows, strict=True):
            drawn = cells(found)
            for index, (axes, component) in enumerate(zip(panels, layout.components, strict=True)):
                values = drawn[:, layout.component_index == index].T
                colors = ListedColormap([cell.color for cell in CELLS])
                axes.imshow(values, cmap=colors, vmin=-0.5, vmax=len(CELLS) - 0.5, aspect="auto")
                _cells(axes, *values.shape)
                for step in np.flatnonzero(found.skip):
                    axes.axvspan(step - 0.42, step + 0.42, fill=False, hatch="////", edgecolor=MUTED, linewidth=0)
                axes.set_title(f"{_WORDS.get(component, component)} ({component})")
            panels[0].set_ylabel(f"{found.mac_speedup:.2f}x fewer MACs:\n{told}\n\nblock", fontsize=8)
        for axes in grid[-1]:
            axes.set_xlabel("denoising step")
        kinds = sorted({*legend(forecasting), *legend(skipping)})
        handles = []
        for kind in kinds:
            hatch = "////" if kind == SKIPPED else None
            color, name = CELLS[kind].color, CELLS[kind].name
            handles.append(Patch(facecolor=color, edgecolor=MUTED, linewidth=0.5, hatch=hatch, label=name))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _forecasting(study: Study) -> Schedule:
    """Of the schedules that skip nothing the one in which most different things are done, and the cheapest of such."""
    found = [each for each in map(study.schedule, study.whole()) if not each.skip.any()]
    return max(found, key=lambda each: (len(legend(each)), each.mac_speedup))


def _skipping(study: Study) -> Schedule:
    """Of the schedules that skip steps and reuse slots in others the one that saves nearest to what is wanted."""
    found = [
        each for each in map(study.schedule, study.whole()) if each.skip.any() and not each.effective[~each.skip].all()
    ]
    return min(found, key=lambda each: abs(each.mac_speedup - _SPEEDUP))


def reuse(study: Study, path: Path) -> None:
    """One slot over the run: when it is computed, how old its output is, and how far that has drifted."""
    found = _forecasting(study)
    age = staleness(found.effective)
    # The slot with the most changes shows most.
    slot = int(np.abs(np.diff(found.effective.astype(int), axis=0)).sum(axis=0).argmax())
    computed, ages = found.effective[:, slot], age[:, slot]
    steps = np.arange(found.steps)
    drifted = study.drift.distance[slot, steps, steps - ages]
    with drawing(path, 8.4, 3.1) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.1, 2])
        for step in steps:
            color = COLORS["compute"] if computed[step] else COLORS["reuse"]
            above.add_patch(_square(step, color))
            text = "new" if computed[step] else str(ages[step])
            above.text(step, 0, text, ha="center", va="center", fontsize=8, color="white" if computed[step] else INK)
            if not computed[step]:
                source = step - ages[step]
                above.annotate(
                    "",
                    (step, 0.52),
                    (source, 0.52),
                    arrowprops={"arrowstyle": "-|>", "color": MUTED, "connectionstyle": "arc3,rad=-0.5", "lw": 0.7},
                )
        above.set_ylim(-0.55, 1.9)
        above.set_xlim(-0.6, found.steps - 0.4)
        above.set_axis_off()
        above.set_title(
            f"Slot {found.layout.slots[slot].name}: where its output comes from, and how many steps old it is"
        )
        below.bar(steps, drifted, width=0.86, color=COLORS["heuristic"])
        below.set_ylabel("drift of the\noutput in use")
        below.set_xlabel("denoising step")
        below.set_xticks(steps[:: max(1, found.steps // 20)])


def drift(study: Study, path: Path) -> None:
    """How far outputs are from those of other steps, and how far components move from step to step."""
    found, layout = study.drift, study.stored.layout
    assert found.output is not None
    steps = found.steps
    with drawing(path, 8.4, 3.3) as figure:
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
        shown = left.imshow(np.sqrt(found.output), cmap="cividis", origin="upper")
        left.set_title("All steps: output of the transformer")
        left.set_xlabel("step whose output is reused")
        left.set_ylabel("step at which it is used")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            axis.get_major_locator().set_params(integer=True)
        figure.colorbar(shown, ax=left, label="distance (root of the drift)", shrink=0.85)
        colors = [COLORS["search"], COLORS["heuristic"], COLORS["steps"], COLORS["beaten"]]
        later = np.arange(1, steps)
        for index, component in enumerate(layout.components):
            mine = found.distance[layout.component_index == index]
            moved = np.sqrt(mine[:, later, later - 1])
            color = colors[index % len(colors)]
            right.fill_between(later, moved.min(axis=0), moved.max(axis=0), color=color, alpha=0.13, linewidth=0)
            right.plot(later, moved.mean(axis=0), color=color, label=f"{_WORDS.get(component, component)}")
        right.set_title("From one step to the next: mean and range of the blocks")
        right.set_xlabel("denoising step")
        right.set_ylabel("distance to the step before")
        right.set_ylim(bottom=0)
        right.legend()


def _cells(axes: Any, rows: int, columns: int) -> None:
    axes.set_xticks(np.arange(-0.5, columns), minor=True)
    axes.set_yticks(np.arange(-0.5, rows), minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xticks(range(0, columns, 5))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _square(step: int, color: str) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch(
        (step - 0.4, -0.4), 0.8, 0.8, boxstyle="round,pad=0.02,rounding_size=0.12", facecolor=color,
        edgecolor=MUTED if color == COLORS["reuse"] else color, linewidth=0.5,
    )  # fmt: skip
