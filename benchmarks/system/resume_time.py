"""How long a search of thousands of trials takes to go on: from opening its file to its first new candidate.

Trials, scores and drift are made up (PixArt's 1,680 bits, 24 images each); loading a model and making the uncached
images are not in it.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.made_up_study import PIXART, made_up_study, pixart_layout
from benchmarks.system.simulated import Problem
from ecad_automl.execution import Outcome, Task
from storage import Store, back_up, open_optuna_storage
from studies.config import SearchConfig
from studies.prepared import PreparedStudy
from studies.search import search_study


class _FirstTask(Exception):  # noqa: N818 - it is no error
    pass


class _Stop:
    """An executor that has seen enough with its first task."""

    workers = 1

    def submit(self, task: Task) -> None:
        del task
        raise _FirstTask

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        del timeout
        return []

    def close(self) -> None:
        pass


def main(sizes: list[int] = [1000, 5000, 10_000], repeats: int = 3) -> None:  # noqa: B006
    """Measure at each size, and write the table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    blocks, steps = PIXART
    rows: dict[str, Any] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "study.db"
            problem = Problem(pixart_layout(blocks), steps, images=24)
            made_up_study(database, size, name="s", size=PIXART, prompts=problem.prompts)
            with Store.open(database) as store:
                store.save_calibration("s", "drift", problem.drift.to_bytes())
            resumed = [_seconds(database, problem, size) for _ in range(repeats)]
            copied = [_backup_seconds(database) for _ in range(repeats)]
            rows[f"{size}"] = {
                "wall": [wall for wall, _ in resumed],
                "processor": [processor for _, processor in resumed],
                "backup": copied,
                "megabytes": database.stat().st_size / 1e6,
            }
        Console().print(size, rows[f"{size}"])
    lines = [
        "| trials | first new candidate (s) | of it processor time (s) | a backup (s) | file (MB) |",
        "|---" * 5 + "|",
    ]
    for size_, row in rows.items():
        cells = [
            f"{np.median(row[key]):.2f} ({min(row[key]):.2f} to {max(row[key]):.2f})"
            for key in ("wall", "processor", "backup")
        ]
        lines.append(f"| {int(size_):,} | {' | '.join(cells)} | {row['megabytes']:.1f} |")
    (RESULTS / "resume_time.json").write_text(json.dumps({"machine": machine(), "trials": rows}, indent=1) + "\n")
    (RESULTS / "resume_time.md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False)


def _seconds(database: Path, problem: Problem, size: int) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    with Store.open(database) as store:
        storage = open_optuna_storage(database)
        identity = store.identity("s")
        assert identity is not None
        try:
            search_study(
                PreparedStudy(
                    evaluator=problem,  # type: ignore[arg-type]
                    layout=problem.layout,
                    store=store,
                    optuna_storage=storage,
                    name="s",
                    identity=identity,
                    config=SearchConfig(evaluations=size + 1000),
                ),
                executor=_Stop,
            )
        except _FirstTask:
            found = time.perf_counter() - wall, time.process_time() - processor
        storage.engine.dispose()
    return found


def _backup_seconds(database: Path) -> float:
    begin = time.perf_counter()
    back_up(database)
    return time.perf_counter() - begin


if __name__ == "__main__":
    typer.run(main)
