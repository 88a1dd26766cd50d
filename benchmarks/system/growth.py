"""What proposing a generation takes as a study grows, up to thousands of schedules of FLUX.1-dev's 3,420 bits.

Processor time of one thread, which other processes disturb less than wall time. Rewards are made up from the drift, so
no model is run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from studies.breeding import Grid, Past, breed, propose
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.quality import Scale
from studies.schedule_space import ScheduleSpace
from surrogate import FeatureContext, LogDrop, Surrogate, find_anchors, group_drift

SIZES = (100, 500, 1000, 2000, 5000)
#: GMACs of one computation at 256 px, batch 2.
DOUBLE = {"attn": 57.98, "ff": 38.66, "ff_context": 77.31}
SINGLE = {"attn": 43.49, "proj_mlp": 57.98, "proj_out": 72.48}


def main(steps: int = 20, repeats: int = 3, seed: int = 0, results: Path = RESULTS) -> None:
    """Measure at each size, and write the table."""
    layout = _flux()
    rng = np.random.default_rng(seed)
    pace = rng.uniform(0.01, 0.2, (len(layout), 1, 1))
    apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    drift = 1 - np.exp(-pace * apart)
    context = FeatureContext(layout.block_index, layout.component_index, layout.slot_macs, drift)
    schedules = _schedules(layout, steps, max(SIZES), rng)
    cost = mac_cost(layout)
    costs = np.array([cost.of(schedule) for schedule in schedules])
    compute = np.stack([schedule.effective for schedule in schedules])
    error = np.concatenate([group_drift(part, context).sum(axis=(1, 2)) for part in np.array_split(compute, 10)])
    reward = -np.log1p(20 * error / error.max()) * np.exp(0.1 * rng.normal(size=len(error)))
    scale = Scale(0.0, float(np.quantile(reward, 0.1)), cost.of_steps(steps))
    drops = -reward[:, None] * rng.gamma(2.0, 0.5, size=1000) * np.exp(0.3 * rng.normal(size=(len(reward), 1000)))
    config, space = SearchConfig(), ScheduleSpace(layout, steps, cost, scale, drift)
    rows = {}
    for size in SIZES:
        past = Past.of(compute[:size], reward[:size], costs[:size], schedules[:size])
        parents = schedules[size - config.population : size]
        surrogate = Surrogate(context, 0, None, scale.span)
        parts: dict[str, Callable[[], object]] = {
            "fit": lambda surrogate=surrogate, size=size: surrogate.fit(compute[:size], reward[:size]),
            "propose, fit included": lambda past=past, parents=parents: propose(
                space, past, parents, config, np.random.default_rng(seed)
            ),
            "anchors of 1,000 images": lambda size=size: find_anchors(drops[:size][-300:], LogDrop(0.0, scale.span)),
        }
        rows[size] = {name: [round(_seconds(part), 3) for _ in range(repeats)] for name, part in parts.items()}
        Console().print(size, rows[size])
    text = table(rows)
    results.mkdir(parents=True, exist_ok=True)
    summary = {"machine": machine(), "bits": steps * len(layout), "processor seconds": rows}
    (results / "growth.json").write_text(json.dumps(summary, indent=2) + "\n")
    (results / "growth.md").write_text(text + "\n")
    Console().print(text, highlight=False)


def table(rows: Mapping[Any, Mapping[str, Sequence[float]]]) -> str:
    """Medians and ranges by evaluated schedules, in Markdown."""
    names = list(next(iter(rows.values())))
    lines = ["| evaluated schedules | " + " | ".join(f"{name} (s)" for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for size, row in rows.items():
        cells = [f"{np.median(row[name]):.2f} ({min(row[name]):.2f} to {max(row[name]):.2f})" for name in names]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(part: Callable[[], object]) -> float:
    start = time.process_time()
    part()
    return time.process_time() - start


def _flux() -> Layout:
    def slots(kind: str, blocks: int, macs: dict[str, float]) -> list[Slot]:
        return [
            Slot(f"{kind}.{i}", name, None, int(value * 1e9)) for i in range(blocks) for name, value in macs.items()
        ]

    blocks = [*slots("transformer_blocks", 19, DOUBLE), *slots("single_transformer_blocks", 38, SINGLE)]
    return Layout("FluxTransformer2DModel", tuple(blocks), int(19.64e9))


def _schedules(layout: Layout, steps: int, count: int, rng: np.random.Generator) -> list[Schedule]:
    """Distinct ones as a search has them: bred again and again, from random shares of computes."""
    grid = Grid(layout.block_index, layout.component_index)
    shares = rng.uniform(0.1, 0.9, size=(64, 1, 1))
    bits = rng.random((64, steps, len(layout))) < shares
    found = dict.fromkeys(Schedule(layout, row) for row in bits)
    while len(found) < count:
        latest = np.stack([schedule.effective for schedule in list(found)[-200:]])
        children, _ = breed(latest, grid, rng, 400)
        found |= dict.fromkeys(Schedule(layout, row) for row in children)
    return list(found)[:count]


if __name__ == "__main__":
    typer.run(main)
