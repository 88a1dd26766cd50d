"""What a second thread gives an evaluation of the bundled models on a CPU, with and without another busy process.

Evaluations with one thread and with all take turns, so the ratios are of the same moments. The second rows are
beside one process more that computes without end; what else the machine does is told by its load average.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.code import made_by
from benchmarks.machine import RESULTS, machine

MODELS = ("shapes", "flow-shapes")
WHO = ("as it was", "beside one more busy process")


def main(rounds: int = 5, images: int = 2, out: Path = RESULTS / "threads.json") -> None:
    """Time evaluations and write."""
    import torch

    everything = torch.get_num_threads()
    if everything == 1:
        raise typer.BadParameter("PyTorch has one thread here; unset OMP_NUM_THREADS, and use a machine of two cores.")
    rows = []
    for model in MODELS:
        for who, busy in zip(WHO, (0, 1), strict=True):
            with _busy(busy):
                rows.append({"model": model, "where": who, "rounds": _rounds(model, everything, rounds, images)})
    about = {"machine": machine(), **made_by(("benchmarks.system.threads",)), "load average": os.getloadavg()}
    found = {**about, "threads": everything, "images": images, "rows": rows}
    out.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(table(found), highlight=False, soft_wrap=True)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_spin, daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def _spin() -> None:
    while True:
        pass


def _rounds(name: str, everything: int, rounds: int, images: int) -> list[dict[str, list[float]]]:
    """Of each round, wall and processor seconds with one thread and with all."""
    import torch

    from ecad_automl.bundled import BUNDLED
    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model
    from ecad_automl.models.loading import model_layout
    from ecad_automl.rewards import load_reward
    from ecad_automl.schedules.heuristics import fora

    model = load_model(name, device="cpu")
    texts = BUNDLED[name].prompts("calibration", images)
    evaluator = Evaluator(model.pipe, texts, [0], load_reward("fidelity"), model.settings, share_bytes=0)
    schedule = fora(model_layout(model), model.settings.steps, 2)
    evaluator.evaluate(schedule)
    found = []
    for number in range(rounds):
        taken: dict[str, list[float]] = {}
        for threads in sorted((1, everything), reverse=number % 2 == 1):
            torch.set_num_threads(threads)
            wall, processor = time.perf_counter(), time.process_time()
            evaluator.evaluate(schedule)
            taken["one" if threads == 1 else "all"] = [time.perf_counter() - wall, time.process_time() - processor]
        found.append(taken)
    return found


def table(found: Mapping[str, Any]) -> str:
    """As Markdown: what all threads take over what one takes, medians of the ratios of rounds with the range."""
    lines = [
        f"| model | where | wall time of {found['threads']} threads over that of 1 | processor time |",
        "|---" * 4 + "|",
    ]
    for row in found["rows"]:
        ratios = [sorted(taken["all"][kind] / taken["one"][kind] for taken in row["rounds"]) for kind in (0, 1)]
        cells = [f"{each[len(each) // 2]:.2f} ({each[0]:.2f} to {each[-1]:.2f})" for each in ratios]
        lines.append(f"| `{row['model']}` | {row['where']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
