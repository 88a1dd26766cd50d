"""How a search scales to hundreds of workers: the real driver and its database, with workers of simulated speed.

``python -m benchmarks.system.scale_simulation latencies FILE.db`` takes the spread of evaluation times from a study,
``run`` simulates what is not done yet, ``report`` writes the table and the plot.
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import PIXART, pixart_layout
from benchmarks.system.simulated import Clock, Latency, Problem, SimulatedWorkers, virtual_planner

app = typer.Typer(add_completion=False, help=__doc__)
CASES = RESULTS / "scale_simulation.json"
SECONDS = RESULTS / "evaluation_seconds.json"


@app.command()
def latencies(storage: Path, study: str | None = None) -> None:
    """Keep how far the evaluations of a real study were from what their MACs and images foretell."""
    from storage import Store

    with Store.open(storage, read_only=True) as store:
        records = [record for record in store.evaluations(study or store.studies()[0]) if record.trial is not None]
    made = np.array([np.isfinite(next(iter(record.scores.values()))).sum() for record in records])
    gmacs = np.array([record.gmacs for record in records])
    seconds = np.array([record.seconds for record in records])
    design = np.stack([made, made * gmacs], axis=1)
    foretold = design @ np.linalg.lstsq(design / seconds[:, None], np.ones(len(seconds)), rcond=None)[0]
    ratios = np.round(np.sort(seconds / foretold), 3).tolist()
    SECONDS.write_text(
        json.dumps({"machine": machine(), "evaluations": len(ratios), "ratios": ratios}, indent=1) + "\n"
    )
    Console().print(f"{len(ratios)} evaluations: {np.quantile(ratios, [0.05, 0.5, 0.95, 1.0])}")


@app.command()
def run(
    workers: Annotated[list[int], typer.Option(help="May be given several times.")] = [8, 64, 512],  # noqa: B006
    seconds: Annotated[float, typer.Option(help="Of a mean evaluation.")] = 30.0,
    rounds: Annotated[int, typer.Option(help="Evaluations for each worker, at least.")] = 6,
    least: Annotated[int, typer.Option(help="Evaluations in all, at least.")] = 400,
    offspring: Annotated[
        int | None, typer.Option(help="Schedules per generation; by default those of a search.")
    ] = None,
    mode: Annotated[list[str], typer.Option(help="May be given several times.")] = ["asynchronous", "generational"],  # noqa: B006
    seeds: int = 1,
) -> None:
    """Simulate the cases that are not kept yet."""
    kept = json.loads(CASES.read_text()) if CASES.exists() else {"cases": {}}
    for seed in range(seeds):
        for count in workers:
            for each in mode:
                size = "" if offspring is None else f", population {offspring}"  # as the kept cases are named
                budget = max(least, rounds * count)
                name = f"{count} workers, {budget} evaluations of {seconds:g} s, {each}{size}, seed {seed}"
                if name in kept["cases"]:
                    continue

                case = _simulate(count, seconds, budget, offspring, seed, asynchronous=each == "asynchronous")
                kept["machine"] = machine()
                kept["cases"][name] = {"workers": count, "mode": each, "seconds": seconds, "seed": seed, **case}
                CASES.write_text(json.dumps(kept, indent=1) + "\n")
                Console().print(name, case)


def _simulate(
    workers: int, seconds: float, budget: int, offspring: int | None, seed: int, *, asynchronous: bool
) -> dict[str, Any]:
    import optuna

    from storage import Store, open_optuna_storage
    from studies import search as module
    from studies.config import SearchConfig

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    blocks, steps = PIXART
    problem = Problem(pixart_layout(blocks), steps, seed=seed)
    clock, plans = Clock(), list[float]()
    ratios = json.loads(SECONDS.read_text())["ratios"]
    started: list[SimulatedWorkers] = []

    def executor() -> SimulatedWorkers:
        clock.catch_up()
        clock.driver = 0.0
        started.append(SimulatedWorkers(problem, workers, Latency(seconds, ratios), clock, seed))
        return started[-1]

    size = {} if offspring is None else {"offspring": offspring}
    config = SearchConfig(evaluations=budget, asynchronous=asynchronous, seed=seed, **size)
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "study.db"
        planner = mock.patch.object(module, "ThreadPoolExecutor", virtual_planner(clock, plans))
        with Store.open(database) as store, planner:
            problem.calibrate(store, "s")
            storage = open_optuna_storage(database)
            status = module.search_study(
                problem.prepared(store, storage, "s", config),
                executor=executor,
            )
            storage.engine.dispose()
        size_mb = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    fleet = started[0]
    elapsed = clock.now - fleet.begun
    return {
        "budget": budget,
        "candidates": status.evaluations,
        "stopped": status.stopped,
        "generations": status.generation,
        "hypervolume": status.hypervolume,
        "utilisation": fleet.busy / (elapsed * workers),
        "steady utilisation": fleet.steady(),
        "hours": elapsed / 3600,
        "workers lost": fleet.lost,
        "driver seconds per candidate": clock.driver / status.evaluations,
        "seconds per plan": float(np.mean(plans)) if plans else None,
        "database megabytes": size_mb,
        "peak megabytes of memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


@app.command()
def report() -> None:
    """Write the table and the plot of all cases."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    cases = list(json.loads(CASES.read_text())["cases"].values())
    text = table(cases)
    (RESULTS / "scale_simulation.md").write_text(text + "\n")
    Console().print(text, highlight=False)
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for mode, figure_of, label in (
        ("asynchronous", "steady utilisation", "generations overlap, without start and end"),
        ("asynchronous", "utilisation", "generations overlap, whole search"),
        ("generational", "utilisation", "one generation after another, whole search"),
    ):
        points = [(case["workers"], case[figure_of]) for case in cases if case["mode"] == mode and figure_of in case]
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
    axes.set(xscale="log", xlabel="workers", ylabel="share of time that workers evaluate", ylim=(0, 1.02))
    axes.set_xticks(sorted({case["workers"] for case in cases}))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(plt.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    figure.savefig(RESULTS / "scale_simulation.png", dpi=150)


def table(cases: Iterable[Mapping[str, Any]]) -> str:
    """The cases by workers, in Markdown."""
    ordered = sorted(cases, key=lambda case: (case["seconds"], case["workers"], case["mode"], case["budget"]))
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "workers": lambda case: f"{case['workers']}",
        "generations": lambda case: "overlap" if case["mode"] == "asynchronous" else "one by one",
        "evaluation (s)": lambda case: f"{case['seconds']:g}",
        "candidates": lambda case: f"{case['candidates']} ({case['stopped']} stopped)",
        "utilisation": lambda case: f"{case['utilisation']:.1%}",
        "without start and end": lambda case: (
            f"{case['steady utilisation']:.1%}" if "steady utilisation" in case else "-"
        ),
        "hours": lambda case: f"{case['hours']:.2f}",
        "driver per candidate (s)": lambda case: f"{case['driver seconds per candidate']:.3f}",
        "a plan (s)": lambda case: "-" if case["seconds per plan"] is None else f"{case['seconds per plan']:.2f}",
        "hypervolume": lambda case: f"{case['hypervolume']:.4f}",
        "database (MB)": lambda case: f"{case['database megabytes']:.1f}",
    }
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell(case) for cell in columns.values()) + " |" for case in ordered]
    return "\n".join(lines)


if __name__ == "__main__":
    app()
