"""How many evaluations and images searches need for the same front: this one and what a user could run instead.

Each search is run with several seeds; each run is a cell. Cells run in parallel, one thread each, and what they have
evaluated is kept, so that the script can be interrupted and goes on where it stopped. The report is made of the cells
that are finished.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.cells import Cell, run_rival
from benchmarks.kept import Point, keep, kept_run, kept_runs
from benchmarks.landscapes import LANDSCAPES
from benchmarks.machine import machine
from benchmarks.our_search import OURS, VARIANTS, run_ours
from benchmarks.rivals import RIVALS
from benchmarks.yardstick import Yardstick

app = typer.Typer(add_completion=False, help=__doc__)

WORK = Path("runs/sample_efficiency")
RESULTS = Path(__file__).parent / "results"
ECAD = "pymoo NSGA-II (ECAD)"
#: Evaluations after which hypervolumes are reported.
MARKS = (24, 50, 100, 200, 300, 600, 1000, 2000)
#: What ECAD's settings have after so many evaluations is the level to reach.
LEVEL_AT = 2000


@app.command()
def run(
    search: Annotated[list[str], typer.Option(help="Which searches; may be given several times.")],
    landscape: str = "shapes",
    seeds: int = 5,
    evaluations: Annotated[int, typer.Option(help="Budget, in the images of so many whole evaluations.")] = 300,
    workers: int = 2,
    work: Path = WORK,
) -> None:
    """Run the cells of some searches that are not finished."""
    unknown = [name for name in search if name not in {*RIVALS, *VARIANTS}]
    if unknown:
        raise typer.BadParameter(f"there is no search {unknown[0]!r}; choose from {', '.join([*VARIANTS, *RIVALS])}.")
    cells = [Cell(landscape, name, seed, evaluations) for seed in range(seeds) for name in search]
    console = Console()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_run, cell, work): cell for cell in cells if not _finished(cell)}
        for future in as_completed(futures):
            future.result()
            console.print(f"finished: {futures[future]}")


def _finished(cell: Cell) -> bool:
    run = kept_run(cell.landscape, cell.search, cell.seed)
    return run is not None and run.evaluations >= cell.evaluations


def _run(cell: Cell, work: Path) -> None:
    import torch

    from ecad_automl.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()

    def progress(done: int) -> None:
        if done and done % 50 == 0:
            print(f"{cell.search} {cell.seed}: {done} of {cell.evaluations}", flush=True)

    found = (run_ours if cell.search in VARIANTS else run_rival)(cell, work, progress)
    keep(cell.landscape, cell.search, cell.seed, found)


@app.command()
def report(landscape: str = "shapes", work: Path = WORK) -> None:
    """Write the table, the figures and the curves of all finished cells."""
    from ecad_automl.plots import plot_convergence

    yardstick = Yardstick.of(landscape, work)
    cells = {name: [run.points for run in kept_runs(landscape, name).values()] for name in [*VARIANTS, *RIVALS]}
    cells = {name: runs for name, runs in cells.items() if runs}
    curves = {name: [yardstick.curve(points) for points in runs] for name, runs in cells.items()}
    wide = {name: [yardstick.curve(points, wide=True) for points in runs] for name, runs in cells.items()}
    summary: dict[str, Any] = {
        "machine": machine(),
        "landscape": vars(LANDSCAPES[landscape]),
        "yardstick": vars(yardstick),
        "seeds": {name: len(runs) for name, runs in cells.items()},
        "hypervolume": {name: _at_marks(runs) for name, runs in curves.items()},
        "hypervolume down to the cheapest schedule": {name: _at_marks(runs) for name, runs in wide.items()},
    }
    lines = [_table(summary["hypervolume"], summary["seeds"])]
    levels = [curve[LEVEL_AT - 1] for curve in curves.get(ECAD, []) if len(curve) >= LEVEL_AT]
    if levels and OURS in cells:
        level = float(np.median(levels))
        summary["level"] = {"of": ECAD, "evaluations": LEVEL_AT, "seeds": len(levels), "hypervolume": level}
        needed = {name: _needed(cells[name], curves[name], level) for name in cells}
        summary["needed for the level"] = needed
        lines += [
            "",
            f"To reach what {ECAD} has after {LEVEL_AT} evaluations ({level:.4f}, median of {len(levels)} seeds), each "
            "seed needed (evaluations, images): " + "; ".join(f"{name} {found}" for name, found in needed.items()),
        ]
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"sample_efficiency-{landscape}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    shortest = {name: min(map(len, runs)) for name, runs in curves.items()}
    plot_convergence(
        stem.with_suffix(".png"),
        {name: np.array([curve[: shortest[name]] for curve in runs]) for name, runs in curves.items()},
        title=f"{landscape}: hypervolume against evaluations, median and range of seeds",
    )
    Console().print("\n".join(lines), highlight=False)


def _at_marks(runs: Sequence[NDArray[np.float64]]) -> dict[int, list[float]]:
    return {
        mark: [round(float(curve[mark - 1]), 4) for curve in runs if len(curve) >= mark]
        for mark in MARKS
        if any(len(curve) >= mark for curve in runs)
    }


def _needed(
    runs: Sequence[Sequence[Point]], curves: Sequence[NDArray[np.float64]], level: float
) -> list[tuple[int, int] | None]:
    """For each seed the evaluations and images after which the level is reached, or None."""
    found: list[tuple[int, int] | None] = []
    for points, curve in zip(runs, curves, strict=True):
        reached = np.flatnonzero(curve >= level)
        found.append((int(reached[0]) + 1, points[reached[0]].images) if len(reached) else None)
    return found


def _table(values: dict[str, dict[int, list[float]]], seeds: dict[str, int]) -> str:
    marks = [mark for mark in MARKS if any(mark in found for found in values.values())]
    lines = ["| search | seeds | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 2) + "|"]
    for name, found in values.items():
        cells = [
            f"{np.median(found[mark]):.3f} ({min(found[mark]):.3f} to {max(found[mark]):.3f})" if mark in found else "-"
            for mark in marks
        ]
        lines.append(f"| {name} | {seeds[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    app()
