"""Hypervolume against evaluations on the bundled model: this search and what a user could run instead.

Each search is one cell (name, seed). Cells run in parallel, one thread each; finished cells are kept, and a broken-off
cell repeats none of its evaluations.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.machine import machine
from benchmarks.rivals import BIT_RIVALS, BudgetSpentError

OURS = "ecad-automl"
PLAIN = "ecad-automl, no surrogate"
COMPARED = ("Optuna NSGA-II", "pymoo NSGA-II (ECAD)", "random")
RESULTS = Path(__file__).parent / "results"
MARKS = (24, 60, 100, 150, 200, 300)


def main(
    evaluations: int = 300,
    seeds: int = 3,
    prompts: int = 8,
    workers: int = 2,
    work: Path = Path("runs/hypervolume"),
    ablation: Annotated[bool, typer.Option(help="Also run this search without its surrogate.")] = False,
) -> None:
    """Run all cells that are not finished, then write the table, the figures and the curves."""
    work.mkdir(parents=True, exist_ok=True)
    names = [OURS, *COMPARED, *([PLAIN] if ablation else [])]
    cells = [(name, seed) for seed in range(seeds) for name in names]
    todo = [cell for cell in cells if not _cell_file(work, *cell, evaluations).exists()]
    with Progress(console=Console()) as bar, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        task = bar.add_task("searches", total=len(cells), completed=len(cells) - len(todo))
        futures = {pool.submit(_run_cell, work, *cell, evaluations, prompts): cell for cell in todo}
        for future in as_completed(futures):
            future.result()
            bar.update(task, advance=1)
            bar.console.print(f"finished: {futures[future]}")
    _report(work, names, seeds, evaluations, prompts)


def _cell_file(work: Path, name: str, seed: int, evaluations: int) -> Path:
    return work / f"{name.replace(' ', '_')}-{seed}-{evaluations}.json"


def _run_cell(work: Path, name: str, seed: int, evaluations: int, prompts: int) -> None:
    import torch

    torch.set_num_threads(1)
    from ecad_automl.evaluation import Evaluator
    from ecad_automl.models import load_model, model_layout
    from ecad_automl.rewards import load_reward
    from ecad_automl.shapes.world import prompts as world_prompts

    model = load_model("shapes", device="cpu")
    evaluator = Evaluator(
        model.pipe,
        world_prompts("calibration", prompts),
        [0],
        load_reward("shapes"),
        model.settings,
        batch_size=prompts,
    )
    layout = model_layout(model)
    target = _cell_file(work, name, seed, evaluations)
    if name in (OURS, PLAIN):
        points = _our_search(work, name, seed, evaluations, evaluator, layout)
    else:
        points = _rival(work, name, seed, evaluations, evaluator, layout)
    target.write_text(json.dumps({"name": name, "seed": seed, "prompts": prompts, "points": points}))


def _our_search(
    work: Path, name: str, seed: int, evaluations: int, evaluator: Any, layout: Any
) -> list[tuple[float, float]]:
    from storage import Store, open_optuna_storage
    from studies.config import SearchConfig
    from studies.search import Search

    database = work / f"{name.replace(' ', '_')}-{seed}.db"
    config = SearchConfig(evaluations=evaluations, seed=seed, surrogate=name == OURS)
    optuna_storage = open_optuna_storage(database)
    with Store.open(database) as store:
        search = Search(
            evaluator,
            layout,
            store,
            optuna_storage,
            name="shapes",
            identity={"prompts": evaluator.prompts},
            config=config,
        )
        search.run()
    import optuna

    study = optuna.load_study(study_name="shapes", storage=optuna_storage)
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    complete.sort(key=lambda trial: trial.datetime_complete)
    return [(trial.values[0], trial.values[1]) for trial in complete[:evaluations]]


def _rival(
    work: Path, name: str, seed: int, evaluations: int, evaluator: Any, layout: Any
) -> list[tuple[float, float]]:
    """Run a rival; its evaluations are replayed from a log where an earlier run was broken off."""
    log = work / f"{name.replace(' ', '_')}-{seed}.jsonl"
    known = {}
    if log.exists():
        known = {row[0]: (row[1], row[2]) for row in map(json.loads, log.read_text().splitlines())}
    points: list[tuple[float, float]] = []

    def objective(schedule: Any) -> tuple[float, float]:
        if len(points) >= evaluations:
            raise BudgetSpentError
        genome = schedule.to_hex()
        if genome not in known:
            known[genome] = (evaluator.evaluate(schedule).reward, schedule.gmacs)
            with log.open("a") as file:
                file.write(json.dumps([genome, *known[genome]]) + "\n")
        points.append(known[genome])
        return known[genome]

    with suppress(BudgetSpentError):
        BIT_RIVALS[name](objective, layout, evaluator.settings.steps, seed)
    return points


def _report(work: Path, names: list[str], seeds: int, evaluations: int, prompts: int) -> None:
    from ecad_automl.plots import plot_convergence
    from studies.quality import Scale

    runs = {
        name: [json.loads(_cell_file(work, name, seed, evaluations).read_text())["points"] for seed in range(seeds)]
        for name in names
    }
    extremes = [tuple(point) for point in runs[OURS][0]]
    full = max(extremes, key=lambda point: point[1])
    floor = min(extremes, key=lambda point: point[1])
    scale = Scale(full[0], floor[0], full[1])
    curves = {name: np.array([_curve(scale, points) for points in rows]) for name, rows in runs.items()}
    marks = [mark for mark in MARKS if mark <= evaluations]
    table = {
        name: {mark: [round(float(v), 4) for v in values[:, mark - 1]] for mark in marks}
        for name, values in curves.items()
    }
    ecad = curves["pymoo NSGA-II (ECAD)"][:, -1]
    needed = [_first_at_least(curves[OURS][seed], float(np.median(ecad))) for seed in range(seeds)]
    RESULTS.mkdir(exist_ok=True)
    summary = {
        "machine": machine(),
        "evaluations": evaluations,
        "seeds": seeds,
        "prompts": prompts,
        "hypervolume": table,
        f"evaluations of {OURS} to the median of ECAD's settings after {evaluations}": needed,
    }
    (RESULTS / "hypervolume.json").write_text(json.dumps(summary, indent=2) + "\n")
    plot_convergence(
        RESULTS / "hypervolume.png", curves, title=f"shapes: median and range of {seeds} seeds, {prompts} prompts"
    )
    lines = ["| search | " + " | ".join(map(str, marks)) + " |", "|---" * (len(marks) + 1) + "|"]
    for name, values in curves.items():
        cells = [
            f"{np.median(values[:, m - 1]):.3f} ({values[:, m - 1].min():.3f} to {values[:, m - 1].max():.3f})"
            for m in marks
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", f"Evaluations to reach the median of ECAD's settings after {evaluations}: {needed} (one per seed)."]
    (RESULTS / "hypervolume.md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False)


def _curve(scale: Any, points: list[tuple[float, float]]) -> NDArray[np.float64]:
    rewards, gmacs = np.array(points).T
    return np.array([scale.hypervolume(rewards[:n], gmacs[:n]) for n in range(1, len(points) + 1)])


def _first_at_least(curve: NDArray[np.float64], level: float) -> int | None:
    reached = np.flatnonzero(curve >= level)
    return int(reached[0]) + 1 if len(reached) else None


if __name__ == "__main__":
    typer.run(main)
