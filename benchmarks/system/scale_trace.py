"""Where the time of workers goes at the end of a search: virtual workers on a small problem, trials in memory.

What the driver does for a candidate is little here, so that what is left of idle time comes of how work is shared out.

    python -m benchmarks.system.scale_trace "what is shared"

adds a case by the code as it is, under that name.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import typer
from rich.console import Console

from benchmarks.code import commit
from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import pixart_layout
from benchmarks.system.scale_simulation import SECONDS
from benchmarks.system.simulated import Clock, Latency, Problem, SimulatedWorkers, virtual_planner

__all__ = ["table"]


def main(name: str, workers: int = 64, evaluations: int = 320, seed: int = 0, results: Path = RESULTS) -> None:
    """Simulate one search, and write the table."""
    found = {"name": name, "commit": commit(), "machine": machine(), **_traced(workers, evaluations, seed)}
    path = results / "scale_trace.json"
    cases = json.loads(path.read_text()) if path.exists() else []
    cases = [case for case in cases if case["name"] != name] + [found]
    path.write_text(json.dumps(cases, indent=1) + "\n")
    (results / "scale_trace.md").write_text(table(cases) + "\n")
    Console().print(table(cases), highlight=False)


def table(cases: Sequence[Mapping[str, Any]]) -> str:
    """The cases, in Markdown."""
    lines = [
        "| made | workers | candidates | utilisation | 90 % of tasks (s) | all (s) | longest (s) | hypervolume |",
        "|---" * 8 + "|",
    ]
    lines += [
        f"| {case['name']} | {case['workers']} | {case['candidates']} | {case['utilisation']:.0%} | "
        f"{case['to nine tenths']} | {case['seconds']} | {case['longest task']} | {case['hypervolume']:.3f} |"
        for case in cases
    ]
    return "\n".join(lines)


def _traced(workers: int, evaluations: int, seed: int) -> dict[str, Any]:
    import optuna
    from optuna.storages import InMemoryStorage

    from storage import Store
    from studies import search as module
    from studies.config import SearchConfig

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = Problem(pixart_layout(3), 8, seed=seed)
    clock, started = Clock(), list[SimulatedWorkers]()
    latency = Latency(30.0, json.loads(SECONDS.read_text())["ratios"])

    def executor() -> SimulatedWorkers:
        clock.catch_up()
        started.append(SimulatedWorkers(problem, workers, latency, clock, seed))
        return started[-1]

    planner = mock.patch.object(module, "ThreadPoolExecutor", virtual_planner(clock, []))
    with tempfile.TemporaryDirectory() as folder, planner, Store.open(Path(folder) / "study.db") as store:
        problem.calibrate(store, "s")
        prepared = problem.prepared(
            store, InMemoryStorage(), "s", SearchConfig(evaluations=evaluations, pool=120, seed=seed)
        )
        status = module.search_study(prepared, executor=executor)
    fleet = started[0]
    seconds = clock.now - fleet.begun
    spans = fleet.spans
    return {
        "workers": workers,
        "evaluations": evaluations,
        "seed": seed,
        "candidates": status.evaluations,
        "utilisation": round(fleet.busy / (seconds * workers), 3),
        "to nine tenths": round(float(np.quantile(spans[:, 1], 0.9)) - fleet.begun),
        "seconds": round(seconds),
        "longest task": round(float(np.diff(spans).max())),
        "hypervolume": round(status.hypervolume, 4),
    }


if __name__ == "__main__":
    typer.run(main)
