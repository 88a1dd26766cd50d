"""How many evaluations and images searches need for the same front: this one and what a user could run instead.

Each search is run with several seeds; each run is a cell. Cells run in parallel, one thread each, and what they have
evaluated is kept, so that the script can be interrupted and goes on where it stopped.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cells import Cell, run_rival

app = typer.Typer(add_completion=False)

WORK = Path("runs/sample_efficiency")
#: Budgets of whole evaluations.
LONG, SHORT = 2000, 300
_ECAD = "pymoo NSGA-II (ECAD)"


@app.command()
def run(
    search: Annotated[list[str], typer.Option(help="Which searches.")],
    landscape: str = "shapes",
    seeds: int = 5,
    evaluations: int = SHORT,
    workers: int = 2,
    work: Path = WORK,
) -> None:
    """Run the cells of some searches."""
    cells = [Cell(landscape, name, seed, evaluations) for seed in range(seeds) for name in search]
    console = Console()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_run, cell, work): cell for cell in cells}
        for future in as_completed(futures):
            future.result()
            console.print(f"finished: {futures[future]}")


def _run(cell: Cell, work: Path) -> None:
    import torch

    from ecad_automl.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()

    def progress(done: int) -> None:
        if done % 50 == 0:
            print(f"{cell.search} {cell.seed}: {done} of {cell.evaluations}", flush=True)

    run_rival(cell, work, progress)


if __name__ == "__main__":
    app()
