"""Time saved beside MACs saved, for schedules on the front of a study.

Uncached and cached runs alternate within one process, so that a noisy machine is noisy for both; the ratio of each
pair is taken, and the median and the range of the ratios are reported.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.machine import RESULTS, machine
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.api.stored import read_study


def main(
    storage: str = "sqlite:///demo/shapes.db",
    study: str | None = None,
    schedules: int = 6,
    repeats: int = 5,
    images: int = 8,
    threads: int = 2,
) -> None:
    """Measure up to ``schedules`` of the front, spread along the cost axis."""
    import torch

    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward

    torch.set_num_threads(threads)
    keep_freed_memory()
    found = read_study(storage, study)
    front = found.front
    chosen = [front[i] for i in np.unique(np.linspace(0, len(front) - 1, schedules).round().astype(int))]
    model = load_model(found.identity["model"])
    evaluator = Evaluator(
        model.pipe,
        found.identity["prompts"][:images],
        [0],
        load_reward("fidelity"),
        model.settings,
        batch_size=images,
        share_bytes=0,  # every run is timed in full
    )
    evaluator.generate(None)
    rows = []
    for record in track(chosen, description="schedules"):
        schedule = found.schedule(record)
        ratios = []
        for _ in range(repeats):
            start = time.perf_counter()
            evaluator.generate(None)
            middle = time.perf_counter()
            evaluator.generate(schedule)
            ratios.append((middle - start) / (time.perf_counter() - middle))
        rows.append(
            {
                "trial": record.trial,
                "mac_speedup": schedule.mac_speedup,
                "time_speedup": float(np.median(ratios)),
                "lowest": min(ratios),
                "highest": max(ratios),
                "reward_difference": record.difference,
            }
        )
    text = table(rows)
    RESULTS.mkdir(exist_ok=True)
    summary = {"machine": machine(), "threads": threads, "images": images, "repeats": repeats, "rows": rows}
    (RESULTS / "wall_time.json").write_text(json.dumps(summary, indent=2) + "\n")
    (RESULTS / "wall_time.md").write_text(text + "\n")
    Console().print(text, highlight=False)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The schedules by MACs saved, in Markdown."""
    lines = ["| MACs saved | time saved (range) | share | reward difference |", "|---|---|---|---|"]
    for row in rows:
        share = row["time_speedup"] / row["mac_speedup"]
        lines.append(
            f"| {row['mac_speedup']:.2f}x | {row['time_speedup']:.2f}x ({row['lowest']:.2f} to {row['highest']:.2f}) | "
            f"{share:.0%} | {row['reward_difference']:+.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
