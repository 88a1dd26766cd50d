"""Which share of the time real workers evaluate: a search of the bundled model by processes of this machine.

A worker is busy while it makes and scores images. The whole time runs from the start of the search's first candidate,
while workers still load the model, to its last result; without start and end it runs from the first result to the last
candidate that was begun. Workers have a thread each, and share the cores with the driver.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from ecad_automl import Execution, load_model, search
from ecad_automl.execution.settings import ExecutorName
from ecad_automl.shapes.world import prompts
from studies import SearchConfig


def main(
    executor: Annotated[list[str], typer.Option(help="processes or ray; may be given twice.")] = ["processes", "ray"],  # noqa: B006
    workers: int = 2,
    evaluations: int = 40,
    seeds: int = 2,
) -> None:
    """Search with each, and write the table."""
    load_model("shapes")  # from the disk once, whoever is first
    rows: list[dict[str, Any]] = []
    for name in executor:
        for asynchronous in (True, False):
            for seed in range(seeds):
                found = _utilisation(name, workers, evaluations, seed, asynchronous=asynchronous)  # type: ignore[arg-type]
                rows.append({"executor": name, "generations overlap": asynchronous, "seed": seed, **found})
                Console().print(rows[-1])
    about = {
        "machine": machine(),
        "workers": workers,
        "evaluations": evaluations,
        "load average": round(os.getloadavg()[0], 1),
    }
    (RESULTS / "real_workers.json").write_text(json.dumps({**about, "searches": rows}, indent=1) + "\n")
    (RESULTS / "real_workers.md").write_text(table(rows) + "\n")
    Console().print(table(rows), highlight=False)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The searches, in Markdown."""
    lines = [
        "| executor | generations | seed | candidates | minutes | utilisation | without start and end |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        order = "overlap" if row["generations overlap"] else "one by one"
        lines.append(
            f"| {row['executor']} | {order} | {row['seed']} | {row['candidates']} | {row['seconds'] / 60:.1f} | "
            f"{row['utilisation']:.1%} | {row['steady utilisation']:.1%} |"
        )
    return "\n".join(lines)


def _utilisation(
    executor: ExecutorName, workers: int, evaluations: int, seed: int, *, asynchronous: bool
) -> dict[str, float]:
    import optuna

    from storage import optuna_storage
    from studies import attributes
    from studies.trials import evaluated_trials

    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "study.db"
        search(
            "shapes",
            prompts("calibration", 24),
            reward="shapes",
            storage=database,
            evaluations=evaluations,
            seed=seed,
            progress=False,
            config=SearchConfig(asynchronous=asynchronous),
            execution=Execution(executor, workers),
        )
        with optuna_storage(database) as storage:
            study = optuna.load_study(study_name="shapes", storage=storage)
            # The uncached run and the one that reuses all are the calibration's: no worker made them.
            trials = [t for t in evaluated_trials(study) if t.user_attrs[attributes.SECONDS] and _span(t) > 0.2]
    begun, ended = [_moments(trial)[0] for trial in trials], [_moments(trial)[1] for trial in trials]
    first, last = min(ended), max(begun)
    busy = sum(trial.user_attrs[attributes.SECONDS] for trial in trials)
    steady = sum(trial.user_attrs[attributes.SECONDS] * _share(trial, first, last) for trial in trials)
    whole = (max(ended) - min(begun)).total_seconds()
    return {
        "candidates": len(trials),
        "seconds": round(whole, 1),
        "utilisation": round(busy / (workers * whole), 4),
        "steady utilisation": round(steady / (workers * (last - first).total_seconds()), 4),
    }


def _moments(trial: Any) -> tuple[datetime, datetime]:
    return trial.datetime_start, trial.datetime_complete


def _span(trial: Any) -> float:
    begin, end = _moments(trial)
    return (end - begin).total_seconds()


def _share(trial: Any, first: datetime, last: datetime) -> float:
    """Of a trial's time, how much lies between two moments."""
    begin, end = _moments(trial)
    return max(0.0, (min(end, last) - max(begin, first)).total_seconds()) / _span(trial)


if __name__ == "__main__":
    typer.run(main)
