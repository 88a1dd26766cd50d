"""What evaluations save by sharing the steps with which they begin: a study's schedules, with sharing and without.

The schedules of a stored study are evaluated in the order in which its search did, or those of a new small search on
the bundled model. Evaluations with sharing and without take turns, and their images must be the same to the bit.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.machine import RESULTS, machine
from ecad_automl.schedules.schedule import Schedule

MIB = 2**20


def main(
    storage: Annotated[str | None, typer.Option(help="a stored study; a new search on shapes without")] = None,
    study: str = "shapes",
    evaluations: Annotated[int, typer.Option(help="schedules to evaluate, or to search")] = 60,
    prompts: int = 8,
    batch_size: int = 8,
    memory: Annotated[list[int] | None, typer.Option(help="MiB; one replay each")] = None,
    timed: Annotated[bool, typer.Option(help="evaluate without sharing too")] = True,
    threads: int = 1,
    out: Path = RESULTS / "shared_prefixes.json",
) -> None:
    """Replay a study and report what sharing saved of MACs and of time."""
    import torch

    torch.set_num_threads(threads)
    with TemporaryDirectory() as folder:
        identity, schedules = schedules_of(storage or f"sqlite:///{folder}/new.db", storage is None, study, evaluations)
    rows = [_replay(identity, schedules, prompts, batch_size, limit, timed) for limit in memory or [64, 1024]]
    lines = ["| memory | held | calls not made | MACs saved | time saved |", "|---|---|---|---|---|"]
    for row in rows:
        saved = f"{row['time_saved']:.1%}" if timed else "-"
        lines.append(
            f"| {row['limit_mib']} MiB | {row['held_mib']:.0f} MiB | {row['calls_saved']:.1%} | "
            f"{row['macs_saved']:.1%} | {saved} |"
        )
    summary = {
        "machine": machine(),
        "threads": threads,
        "schedules": len(schedules),
        "images": prompts,
        "batch_size": batch_size,
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n")
    Console().print("\n".join(lines), highlight=False)


def schedules_of(storage: str, search: bool, study: str, count: int) -> tuple[dict[str, Any], list[Schedule]]:
    """What a study was about, and its first schedules in the order of their evaluation."""
    from ecad_automl.api.stored import read_study

    if search:
        from ecad_automl.cli.app import app

        arguments = ["search", "--model", "shapes", "--storage", storage, "--study", study]
        app([*arguments, "--evaluations", str(count)], standalone_mode=False)
    found = read_study(storage, study)
    records = sorted(found.runs, key=lambda run: run.trial or 0)[:count]
    return dict(found.identity), [found.schedule(record) for record in records]


def _replay(
    identity: dict[str, Any], schedules: list[Schedule], prompts: int, batch_size: int, limit: int, timed: bool
) -> dict[str, Any]:
    """Evaluate schedules with sharing and without, in turn."""
    import torch

    from ecad_automl.judging.evaluation import Evaluator
    from ecad_automl.models import load_model
    from ecad_automl.rewards import load_reward

    model = load_model(identity["model"])
    evaluators = [
        Evaluator(
            model.pipe,
            identity["prompts"][:prompts],
            [0],
            load_reward("fidelity"),
            model.settings,
            batch_size=batch_size,
            share_bytes=share,
        )
        for share in (limit * MIB, 0)[: 2 if timed else 1]
    ]
    for evaluator in evaluators:  # blocks are recorded in the first run
        evaluator.generate(Schedule.all_compute(schedules[0].layout, schedules[0].steps))
    before = evaluators[0].sharing
    seconds = [0.0 for _ in evaluators]
    held = 0
    for number, schedule in enumerate(track(schedules, description=f"{limit} MiB")):
        images = []
        for turn in range(len(evaluators)):
            which = (number + turn) % len(evaluators)
            start = time.perf_counter()
            images.append(evaluators[which].generate(schedule))
            seconds[which] += time.perf_counter() - start
        if not all(torch.equal(images[0], other) for other in images):
            raise RuntimeError(f"Schedule {number} gave other images where steps were shared.")
        held = max(held, evaluators[0].sharing.nbytes)
    after = evaluators[0].sharing
    return {
        "limit_mib": limit,
        "held_mib": held / MIB,
        "calls_saved": (after.shared - before.shared) / (after.calls - before.calls),
        "macs_saved": (after.shared_macs - before.shared_macs) / (after.macs - before.macs),
        "time_saved": 1 - seconds[0] / seconds[1] if timed else None,
        "seconds": seconds,
    }


if __name__ == "__main__":
    typer.run(main)
