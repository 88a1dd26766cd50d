"""How many evaluations and images searches need for the same front: this one and what a user could run instead.

Each search is run with several seeds; each run is a cell. Cells run in parallel, one thread each, and what they have
evaluated is kept, so that the script can be interrupted and goes on where it stopped. The report is made of the cells
that are finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.code import ACCEPT, Made, made_by, of_other_code
from benchmarks.kept import keep, kept_run, kept_runs
from benchmarks.machine import RESULTS, machine
from benchmarks.search.beds import BEDS
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
from ecad_automl.bundled import BUNDLED
from studies.seeds import fewer_steps

app = typer.Typer(add_completion=False, help=__doc__)

WORK = Path("runs/searches")
ECAD = "pymoo NSGA-II (ECAD)"
PARTS = [name for name in VARIANTS if name != OURS]
#: What ECAD's settings have after so many evaluations, or as many as were run, is the level to reach.
LEVEL_AT = 2000


@app.command()
def run(
    search: Annotated[list[str], typer.Option(help="Which searches; may be given several times.")],
    bed: Annotated[str, typer.Option(help="Which test bed.")] = "shapes",
    seeds: int = 5,
    evaluations: Annotated[int, typer.Option(help="Budget, in the images of so many whole evaluations.")] = 100,
    workers: int = 2,
    work: Path = WORK,
    accept_other_code: Annotated[bool, typer.Option("--accept-other-code", help=ACCEPT)] = False,
) -> None:
    """Run the cells of some searches that are not finished, or only by other code."""
    unknown = [name for name in search if name not in {*RIVALS, *VARIANTS}]
    if unknown:
        raise typer.BadParameter(f"there is no search {unknown[0]!r}; choose from {', '.join([*VARIANTS, *RIVALS])}.")
    if bed not in BEDS:
        raise typer.BadParameter(f"there is no test bed {bed!r}; choose from {', '.join(BEDS)}.")
    cells = [Cell(bed, name, seed, evaluations, code_of(name, bed)) for seed in range(seeds) for name in search]
    console = Console()
    todo = unfinished(cells, accept_other_code, lambda text: console.print(text, highlight=False, soft_wrap=True))
    # Each cell in a process of its own, which gives its memory back.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = {pool.submit(_run, cell, work): cell for cell in todo}
        for future in as_completed(futures):
            future.result()
            cell = futures[future]
            console.print(f"finished: {cell.search} {cell.seed} on {cell.bed}", highlight=False)


def code_of(search: str, bed: str) -> Made:
    """Of all that runs a search on a bed."""
    modules = ("benchmarks.search.our_search",)
    if search in RIVALS:
        modules = ("benchmarks.search.cells", RIVALS[search].__module__)
    return made_by(modules, BUNDLED[BEDS[bed].model].weights)


def unfinished(cells: Sequence[Cell], accept_other_code: bool, tell: Callable[[str], object]) -> list[Cell]:
    """The cells of which nothing is kept that is long enough and of their code.

    Args:
        cells: all of them.
        accept_other_code: take kept runs of other code for done too.
        tell: is told of kept runs of other code.
    """
    todo, other = [], {}
    for cell in cells:
        run = kept_run(cell.bed, cell.search, cell.seed)
        if run is None or run.evaluations < cell.evaluations:
            todo.append(cell)
        elif run.made.get("code") != cell.made["code"]:
            other[f"{cell.search} {cell.seed}"] = run.made
            if not accept_other_code:
                todo.append(cell)
    if other:
        tell(of_other_code(other, accepted=accept_other_code))
    return todo


def _run(cell: Cell, work: Path) -> None:
    import torch

    from ecad_automl.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()

    def progress(done: int) -> None:
        if done and done % 50 == 0:
            print(f"{cell.search} {cell.seed}: {done} of {cell.evaluations}", flush=True)

    if cell.search in VARIANTS:
        found = run_ours(cell, work, progress)
    else:
        found = run_rival(cell, RIVALS[cell.search], lambda steps: min(fewer_steps(steps)), work, progress)
    keep(cell.bed, cell.search, cell.seed, found)


@app.command()
def report(bed: str = "shapes", work: Path = WORK) -> None:
    """Write the tables, the figures and the curves of all finished runs, of whatever code; their codes are told."""
    yardstick = Yardstick.of_bed(bed, work)
    images = BEDS[bed].captions * len(BEDS[bed].noises)
    found = {name: list(kept_runs(bed, name).values()) for name in [*VARIANTS, *RIVALS]}
    runs = {name: of_search for name, of_search in found.items() if of_search}
    curves = {name: [by_images(run, yardstick, images) for run in of] for name, of in runs.items()}
    wide = {name: [by_images(run, yardstick, images, wide=True) for run in of] for name, of in runs.items()}
    seeds = {name: len(of) for name, of in runs.items()}
    hypervolume = {name: at_marks(of) for name, of in curves.items()}
    summary: dict[str, Any] = {
        "machine": machine(),
        "bed": bed,
        "made": {name: [run.made for run in of] for name, of in runs.items()},
        "yardstick": vars(yardstick),
        "seeds": seeds,
        "images of a whole evaluation": images,
        "hypervolume after the images of so many whole evaluations": hypervolume,
        "hypervolume down to the cheapest schedule": {name: at_marks(of) for name, of in wide.items()},
    }
    lines = [table({name: hypervolume[name] for name in runs if name not in PARTS}, seeds)]
    if len(parts := [name for name in runs if name == OURS or name in PARTS]) > 1:
        lines += ["", table({name: hypervolume[name] for name in parts}, seeds)]
        by_seed = {name: dict(zip(kept_runs(bed, name), curves[name], strict=True)) for name in parts}
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
    stem = RESULTS / f"searches-{bed}"
    stem.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    rivals = {name: of for name, of in curves.items() if name not in PARTS}
    panels = {f"{bed}: beside other searches": rivals}
    if len(parts) > 1:
        panels["with parts left out"] = {name: curves[name] for name in parts}
    plot(stem.with_suffix(".png"), panels, images)
    Console().print("\n".join(lines), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
