"""Images that an earlier study saves: searches with another sampler and step count, from scratch and with --init.

The earlier study is a search on the bundled model as it is, in 20 steps. The new problem has 14 steps of another
sampler and other guidance. Each search is one study, so that the script can be interrupted and goes on where it
stopped. Each is charged for all images of its calibration, those from an earlier study too: what they inherit is
schedules, and they calibrate anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.code import Made, made_by
from benchmarks.kept import Point, Run
from benchmarks.machine import RESULTS, machine
from benchmarks.search.beds import BEDS, load_bed
from benchmarks.search.efficiency_report import by_images, plot
from benchmarks.search.our_search import whole_evaluations
from benchmarks.search.yardstick import Yardstick
from ecad_automl.bundled import BUNDLED

EARLIER, SCRATCH, SEEDS, FULL = "earlier study", "from scratch", "its front as seeds", "--init"
OLD, NEW = "shapes", "shapes-euler-14"
_MADE_BY = "benchmarks.search.transfer"
#: Budgets in the images of so many whole evaluations.
MARKS = (6, 12, 24, 36, 50, 60, 80, 100)


@dataclass(frozen=True)
class Cell:
    """One search.

    Args:
        kind: what it starts from; EARLIER is the study that others start from.
        seed: of its randomness.
        evaluations: budget.
        made: the code that it is run by.
    """

    kind: str
    seed: int
    evaluations: int
    made: Made

    def database(self, work: Path) -> Path:
        """The study's file, the same for every budget, another for other code."""
        return work / f"{self._name}.db"

    def points(self, work: Path) -> Path:
        """Reward, GMACs and images paid for of each whole evaluation; there when the search is finished."""
        return work / f"{self._name}-{self.evaluations}.json"

    @property
    def _name(self) -> str:
        return f"{self.kind.replace(' ', '_').strip('-')}-{self.seed}-{self.made['code']}"


def main(
    evaluations: int = 100,
    earlier: int = 100,
    seeds: int = 3,
    workers: int = 2,
    work: Path = Path("runs/transfer"),
    results: Path = RESULTS,
) -> None:
    """Run what is not finished: earlier studies, then searches from scratch and from these; then write the figures."""
    work.mkdir(parents=True, exist_ok=True)
    made = made_by((_MADE_BY,), BUNDLED[BEDS[NEW].model].weights)
    sources = [Cell(EARLIER, seed, earlier, made) for seed in range(seeds)]
    cells = [Cell(kind, seed, evaluations, made) for seed in range(seeds) for kind in (SCRATCH, SEEDS, FULL)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for stage in (sources, cells):
            todo = [cell for cell in stage if not cell.points(work).exists()]
            for future in as_completed(futures := {pool.submit(_run, cell, work): cell for cell in todo}):
                future.result()
                Console().print(f"finished: {futures[future]}", highlight=False)
    _report(cells, work, results)


def _run(cell: Cell, work: Path) -> None:
    import torch

    from ecad_automl.allocator import keep_freed_memory

    torch.set_num_threads(1)
    keep_freed_memory()
    from storage import Store, open_optuna_storage
    from studies.config import SearchConfig
    from studies.cost import mac_cost
    from studies.prepared import REWARD, PreparedStudy
    from studies.search import search_study
    from studies.warm_start import WarmStart, is_started, read_source

    bed = BEDS[OLD if cell.kind == EARLIER else NEW]
    evaluator, layout = load_bed(bed, split="calibration", captions=bed.captions, noises=bed.noises)
    steps = evaluator.settings.steps
    identity = {
        "layout": layout.to_dict(),
        "generation": evaluator.settings.to_dict(),
        "prompts": evaluator.prompts,
        "use": "forecast",
    }
    database = cell.database(work)
    optuna_storage = open_optuna_storage(database)
    with Store.open(database) as store:
        if cell.kind in (SEEDS, FULL) and not is_started(store, REWARD):
            known = read_source(Cell(EARLIER, cell.seed, 0, cell.made).database(work)).moved(layout, steps)
            initial = WarmStart.from_sources([known], mac_cost(layout), 24)
            kept = initial if cell.kind == FULL else WarmStart(initial.sources, initial.seeds)
            kept.save(store, REWARD)
        config = SearchConfig(evaluations=cell.evaluations, seed=cell.seed)
        search_study(
            PreparedStudy(
                evaluator=evaluator,
                layout=layout,
                store=store,
                optuna_storage=optuna_storage,
                name=REWARD,
                identity=identity,
                config=config,
            )
        )
    import optuna

    study = optuna.load_study(study_name=REWARD, storage=optuna_storage)
    points = [point[:3] for point in whole_evaluations(study, evaluator.images_per_evaluation, steps)]
    cell.points(work).write_text(json.dumps(points))


def _report(cells: Sequence[Cell], work: Path, results: Path) -> None:
    yardstick, images = Yardstick.of_bed(NEW, work), BEDS[NEW].captions * len(BEDS[NEW].noises)
    evaluations = cells[0].evaluations
    curves: dict[str, list[NDArray[np.float64]]] = {}
    for cell in cells:
        points = [Point(*values) for values in json.loads(cell.points(work).read_text())]
        curves.setdefault(cell.kind, []).append(by_images(Run(evaluations, points), yardstick, images))
    marks = sorted({evaluations, *(mark for mark in MARKS if mark <= evaluations)})
    lines = ["| search | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 1) + "|"]
    for kind, found in curves.items():
        at = (np.array([curve[mark - 1] for curve in found]) for mark in marks)
        shown = [f"{np.median(v):.3f} ({v.min():.3f} to {v.max():.3f})" for v in at]
        lines.append(f"| {kind} | " + " | ".join(shown) + " |")
    # What a search from scratch reaches, and how many images the others take for that, seed by seed.
    reached = {
        f"scratch after {mark}": {
            kind: _needed(curves[kind], [curve[mark - 1] for curve in curves[SCRATCH]]) for kind in (SEEDS, FULL)
        }
        for mark in marks
        if mark >= min(24, evaluations)
    }
    lines += ["", "The images of so many whole evaluations, one number per seed, to the hypervolume of", ""]
    lines += [f"- {name}: {', '.join(f'{kind} {n}' for kind, n in row.items())}" for name, row in reached.items()]
    results.mkdir(parents=True, exist_ok=True)
    summary = {
        "machine": machine(),
        **cells[0].made,
        "old": repr(BEDS[OLD]),
        "new": repr(BEDS[NEW]),
        "evaluations": evaluations,
        "images of a whole evaluation": images,
        "hypervolume": {kind: np.round(found, 5).tolist() for kind, found in curves.items()},
        "whole evaluations' images to the hypervolume of": reached,
    }
    (results / "transfer.json").write_text(json.dumps(summary, indent=2) + "\n")
    (results / "transfer.md").write_text("\n".join(lines) + "\n")
    plot(results / "transfer.png", {f"{NEW} after {OLD}": curves}, images, first=4)
    Console().print("\n".join(lines), highlight=False, soft_wrap=True)


def _needed(curves: Sequence[NDArray[np.float64]], levels: Sequence[float]) -> list[int | None]:
    """For each seed the images, in whole evaluations, after which its curve is as high as its level."""
    found = (np.flatnonzero(curve >= level) for curve, level in zip(curves, levels, strict=True))
    return [int(at[0]) + 1 if len(at) else None for at in found]


if __name__ == "__main__":
    typer.run(main)
