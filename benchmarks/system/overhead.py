"""Time outside evaluation per candidate: asking, breeding, surrogate, telling, storing.

First with an evaluator that scores by arithmetic, so that what is left is overhead; layout and step count are those of
PixArt-XL (28 blocks, 1,680 bits) by default. Then in a real search on the bundled model, as a share
of the time. All seconds are of processor time, which does not depend on what else the machine does.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import pixart_layout
from benchmarks.system.simulated import Problem
from ecad_automl.execution import LocalExecutor, Outcome
from storage import Store, open_optuna_storage
from studies.config import SearchConfig
from studies.prepared import PreparedStudy
from studies.progress import SearchStatus
from studies.search import search_study


class _Clock:
    """Remembers when each evaluation was reported."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last = time.process_time()

    def update(self, status: SearchStatus) -> None:
        now = time.process_time()
        if status.text == "evaluating":
            self.seconds.append(now - self._last)
        self._last = now

    def message(self, text: str) -> None:
        Console().print(text)


def main(
    trials: int = 1000,
    blocks: int = 28,
    steps: int = 20,
    seed: int = 0,
    shapes_trials: int = 100,
    prompts: int = 24,
    threads: int = 1,
) -> None:
    """Run a whole study without evaluation cost, then a real one, and report the overhead of both."""
    import torch

    torch.set_num_threads(threads)
    windows, size = _without_evaluation(trials, blocks, steps, seed)
    total, evaluating = _on_shapes(shapes_trials, prompts, seed)
    summary = {
        "machine": machine(),
        "without evaluation": {
            "bits": steps * len(pixart_layout(blocks)),
            "trials": trials,
            "seconds per candidate, by stored trials": windows,
            "database bytes": size,
        },
        "shapes": {
            "trials": shapes_trials,
            "prompts": prompts,
            "threads": threads,
            "seconds of evaluation per candidate": round(evaluating, 3),
            "seconds of overhead per candidate": round(total - evaluating, 3),
            "share of overhead": round(1 - evaluating / total, 4),
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.json").write_text(json.dumps(summary, indent=2) + "\n")
    Console().print_json(json.dumps(summary))


def _on_shapes(trials: int, prompts: int, seed: int) -> tuple[float, float]:
    """Mean seconds per candidate of a search on the bundled model: in all, and of evaluation alone."""
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward
    from ecad_automl.shapes.world import prompts as world_prompts
    from studies import SearchJob, run_search

    clock = _Clock()
    evaluated: list[float] = []
    wait = LocalExecutor.wait

    def timed(executor: LocalExecutor, timeout: float | None = None) -> list[Outcome]:
        begin = time.process_time()
        outcomes = wait(executor, timeout)
        evaluated.append(time.process_time() - begin)
        return outcomes

    with tempfile.TemporaryDirectory() as folder, patch.object(LocalExecutor, "wait", timed):
        database = Path(folder) / "shapes.db"
        job = SearchJob(
            load_model("shapes", device="cpu"),
            world_prompts("calibration", prompts),
            load_reward("shapes"),
            database,
            "shapes",
            config=SearchConfig(evaluations=trials, seed=seed),
        )
        run_search(job, clock)
    return sum(clock.seconds) / len(clock.seconds), sum(evaluated) / len(clock.seconds)


def _without_evaluation(trials: int, blocks: int, steps: int, seed: int) -> tuple[dict[str, float], int]:
    """Mean seconds per candidate in windows of stored trials, and the bytes of the database at the end."""
    problem = Problem(pixart_layout(blocks), steps, seed=seed)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "overhead.db"
        with Store.open(database) as store:
            problem.calibrate(store, "overhead")
            config = SearchConfig(evaluations=trials, seed=seed)
            optuna_storage = open_optuna_storage(database)
            search_study(
                PreparedStudy(
                    evaluator=problem,  # type: ignore[arg-type]
                    layout=problem.layout,
                    store=store,
                    optuna_storage=optuna_storage,
                    name="overhead",
                    identity=problem.identity,
                    config=config,
                    observer=clock,
                )
            )
        size = database.stat().st_size
    seconds = np.array(clock.seconds)
    windows = {
        f"{start} to {start + 100}": float(seconds[start : start + 100].mean())
        for start in (24, 100, 400, 900)
        if start + 100 <= len(seconds)
    }
    return windows, size


if __name__ == "__main__":
    typer.run(main)
