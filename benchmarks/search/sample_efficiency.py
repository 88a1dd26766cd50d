"""How many evaluations and images searches need for the same front: this one and what a user could run instead.

Each search is run with several seeds; each run is a cell. Cells run in parallel, one thread each, and what they have
evaluated is kept, so that the script can be interrupted and goes on where it stopped. The report is made of the cells
that are finished.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.kept import keep, kept_run, kept_runs
from benchmarks.landscapes import LANDSCAPES
from benchmarks.machine import RESULTS, machine
from benchmarks.search.cells import Cell, run_rival
from benchmarks.search.efficiency_report import (
    at_marks,
    by_images,
    left_out_table,
    less_than_whole,
    needed_images,
    plot,
    table,
)
from benchmarks.search.our_search import OURS, VARIANTS, run_ours
from benchmarks.search.rivals import RIVALS
from benchmarks.search.yardstick import Yardstick

app = typer.Typer(add_completion=False, help=__doc__)

WORK = Path("runs/sample_efficiency")
ECAD = "pymoo NSGA-II (ECAD)"
PARTS = [name for name in VARIANTS if name != OURS]
#: What ECAD's settings have after so many evaluations, or as many as were run, is the level to reach.
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
    # Each cell in a process of its own, which gives its memory back.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
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
    """Write the tables, the figures and the curves of all finished runs."""
    yardstick = Yardstick.of(landscape, work)
    images = LANDSCAPES[landscape].images
    found = {name: list(kept_runs(landscape, name).values()) for name in [*VARIANTS, *RIVALS]}
    runs = {name: of_search for name, of_search in found.items() if of_search}
    curves = {name: [by_images(run, yardstick, images) for run in of] for name, of in runs.items()}
    wide = {name: [by_images(run, yardstick, images, wide=True) for run in of] for name, of in runs.items()}
    seeds = {name: len(of) for name, of in runs.items()}
    hypervolume = {name: at_marks(of) for name, of in curves.items()}
    summary: dict[str, Any] = {
        "machine": machine(),
        "landscape": vars(LANDSCAPES[landscape]),
        "yardstick": vars(yardstick),
        "seeds": seeds,
        "images of a whole evaluation": images,
        "hypervolume after the images of so many whole evaluations": hypervolume,
        "hypervolume down to the cheapest schedule": {name: at_marks(of) for name, of in wide.items()},
    }
    lines = [table({name: hypervolume[name] for name in runs if name not in PARTS}, seeds)]
    if len(parts := [name for name in runs if name == OURS or name in PARTS]) > 1:
        lines += ["", table({name: hypervolume[name] for name in parts}, seeds)]
        by_seed = {name: dict(zip(kept_runs(landscape, name), curves[name], strict=True)) for name in parts}
        left_out = less_than_whole(by_seed.pop(OURS), by_seed)
        summary["less than the whole search"] = left_out
        title = (
            "Mean difference to the whole search with the same seed, its range, and p of a t-test over seeds before "
            f"and after Holm's correction, after the images of {left_out['evaluations']} evaluations:"
        )
        lines += ["", title, "", left_out_table(left_out["differences"])]
    if ECAD in curves:
        longest = min(LEVEL_AT, max(map(len, curves[ECAD])))
        levels = [curve[longest - 1] for curve in curves[ECAD] if len(curve) >= longest]
        level, most = float(np.median(levels)), longest * images
        needed = {name: [needed_images(run, yardstick, level) for run in of] for name, of in runs.items()}
        summary["level"] = {"of": ECAD, "images": most, "seeds": len(levels), "hypervolume": level}
        summary["images to the level"] = needed
        lines += [
            "",
            f"Images to the hypervolume that {ECAD} has after {most:,} ({level:.4f}, {len(levels)} seeds):",
            "",
        ]
        lines += [
            f"- {name}: " + ", ".join(f"{n} ({most / n:.0f} times fewer)" if n else "not reached" for n in counts)
            for name, counts in needed.items()
            if any(counts) and name != ECAD
        ]
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"sample_efficiency-{landscape}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    rivals = {name: of for name, of in curves.items() if name not in PARTS}
    panels = {f"{landscape}: beside other searches": rivals}
    if len(parts) > 1:
        panels["with parts left out"] = {name: curves[name] for name in parts}
    plot(stem.with_suffix(".png"), panels, images)
    Console().print("\n".join(lines), highlight=False)


if __name__ == "__main__":
    app()
