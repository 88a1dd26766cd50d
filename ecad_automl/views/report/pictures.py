"""The charts of a report as PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ecad_automl.views.plots import Point, image_grid, plot_confirmation, plot_convergence, plot_front, plot_heatmap
from ecad_automl.views.plots.figure import COLORS, figure
from ecad_automl.views.report.choice import usual_choice
from ecad_automl.views.report.data import Confirmed, Kind, ReportData, ScheduleFigures, StepsRun

__all__ = ["write_pictures"]

_SERIES = (COLORS["search"], COLORS["heuristic"], COLORS["steps"], "#CC79A7", COLORS["beaten"], "#56B4E9")
_MARKERS = "os^Dvx"


def write_pictures(data: ReportData, folder: Path) -> dict[str, Path]:
    """Draw what there is to draw.

    Args:
        data: of the report.
        folder: where the files go; made where it does not exist.

    Returns:
        Files by what they show: ``front``, ``confirmed``, ``hypervolume``, ``surrogate``, ``shares``, ``schedule``,
        ``images``; without those that there is nothing to show in.

    Raises:
        EcadError: a file cannot be written.
    """
    drawings: Mapping[str, Callable[[ReportData, Path], None]] = {
        "front": _front,
        **({"confirmed": _confirmed} if data.confirmed and any(s.confirmed for s in data.front) else {}),
        "schedule": _schedule,
        "shares": _shares,
        **({"images": _images} if data.images else {}),
        "hypervolume": _hypervolume,
        **({"surrogate": _surrogate} if any(g.rank_correlation is not None for g in data.generations) else {}),
    }
    paths = {}
    for name, draw in drawings.items():
        paths[name] = folder / f"{name}.png"
        draw(data, paths[name])
    return paths


def _front(data: ReportData, path: Path) -> None:
    def points(*kinds: Kind, labels: bool = False) -> list[Point]:
        return [
            Point(s.cost, s.reward, s.half or 0.0, s.origin if labels else "")
            for s in data.schedules
            if s.kind in kinds
        ]

    plot_front(
        path,
        front=points(Kind.FRONT),
        candidates=points(Kind.EVALUATED, Kind.STOPPED, Kind.INFEASIBLE),
        heuristics=points(Kind.HEURISTIC, labels=True),
        fewer_steps=[
            Point(run.cost, data.uncached_reward + run.difference, run.half or 0.0, run.name)
            for run in data.runs
            if run.difference is not None
        ],
        uncached=Point(data.full_cost, data.uncached_reward),
        reward_name=data.reward_name,
        cost_name=data.cost_unit,
        title=f"{data.name}: {len(data.schedules)} schedules evaluated on {len(data.prompts)} prompts",
    )


def _confirmed(data: ReportData, path: Path) -> None:
    assert data.confirmed is not None
    known = [(schedule, schedule.confirmed) for schedule in data.front if schedule.confirmed is not None]
    heuristics = [(s, s.confirmed) for s in data.schedules if s.kind is Kind.HEURISTIC and s.confirmed is not None]
    runs = [(run, run.confirmed) for run in data.runs if run.confirmed is not None]
    survivors = [pair for pair in known if pair[1].survives]
    plot_confirmation(
        path,
        searched=[Point(schedule.cost, schedule.difference) for schedule, _ in known],
        survivors=[_unseen(*pair) for pair in survivors],
        beaten=[_unseen(*pair) for pair in known if not pair[1].survives],
        heuristics=[_unseen(schedule, found, schedule.origin) for schedule, found in heuristics],
        fewer_steps=[_unseen(run, found, run.name) for run, found in runs],
        full_cost=data.full_cost,
        reward_name=data.reward_name,
        cost_name=data.cost_unit,
        title=f"{data.name}: {len(survivors)} of {len(known)} schedules survive on {data.confirmed.prompts} unseen "
        "prompts",
    )


def _unseen(run: ScheduleFigures | StepsRun, confirmed: Confirmed, label: str = "") -> Point:
    return Point(run.cost, confirmed.difference, confirmed.half, label)


def _schedule(data: ReportData, path: Path) -> None:
    chosen = usual_choice(data)
    name = chosen.origin if chosen.trial is None else f"trial {chosen.trial}"
    plot_heatmap(path, data.schedule(chosen), title=f"{data.name}, {name}: {data.speedup(chosen):.2f}x")


def _images(data: ReportData, path: Path) -> None:
    assert data.images is not None
    columns = {"uncached": data.images.uncached}
    for schedule in data.front:
        if schedule.genome in data.images.schedules:
            name = f"{data.speedup(schedule):.2f}x\n{schedule.origin if schedule.trial is None else schedule.trial}"
            columns[name] = data.images.schedules[schedule.genome]
    image_grid(path, columns, data.images.prompts)


def _hypervolume(data: ReportData, path: Path) -> None:
    plot_convergence(path, {"": np.array([data.hypervolume])}, title=f"{data.name}: hypervolume against evaluations")


def _surrogate(data: ReportData, path: Path) -> None:
    def values(read: Callable[[int], float | None]) -> list[float]:
        found = [read(index) for index in range(len(data.generations))]
        return [np.nan if value is None else value for value in found]

    at = [each.generation for each in data.generations]
    with figure(path, 7.0, 3.8) as drawn:
        axes = drawn.add_subplot()
        axes.axhline(0.9, color=COLORS["heuristic"], linewidth=0.8, linestyle=":")
        axes.plot(
            at, values(lambda index: data.generations[index].rank_correlation), "o-", color=COLORS["search"],
            markersize=4, label="rank correlation at equal cost",
        )  # fmt: skip
        axes.plot(
            at, values(lambda index: data.generations[index].coverage), "s--", color=COLORS["heuristic"], markersize=4,
            label="coverage of 90 % intervals",
        )  # fmt: skip
        axes.set_xlabel("generation")
        axes.set_ylim(top=1.04)
        axes.set_title(f"{data.name}: accuracy of the surrogate, out of sample", fontsize=10)
        axes.grid(alpha=0.25)
        axes.legend(loc="lower right", fontsize=8)


def _shares(data: ReportData, path: Path) -> None:
    """By component over the speedup; by step and by depth for every schedule of the front."""
    front, layout = data.front, data.layout
    bits = np.stack([data.schedule(schedule).effective for schedule in front])
    speedups = [data.speedup(schedule) for schedule in front]
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
        drawn.suptitle(f"{data.name}: where the front computes", fontsize=10)
