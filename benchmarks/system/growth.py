"""What a generation takes as a study grows, up to thousands of schedules of FLUX.1-dev's 3,420 bits and what is beside.

All that a search may change is searched: numbers of steps, skipped steps, damping by component, guidance. Schedules are
fitted, so that skipped steps have no damping. Processor time of one thread, which other processes disturb less than
wall time. Rewards are made up from the drift, so no model is run; trials are in memory, where a search has those that
are done.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.system.simulated import Problem
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from storage import Store
from studies import attributes
from studies.breeding import describe, propose
from studies.config import SearchConfig
from studies.prepared import PreparedStudy
from studies.trials import evaluated_trials
from surrogate import LogDrop, find_anchors

SIZES = (100, 500, 1000, 2000, 5000)
#: GMACs of one computation at 256 px, batch 2.
DOUBLE = {"attn": 57.98, "ff": 38.66, "ff_context": 77.31}
SINGLE = {"attn": 43.49, "proj_mlp": 57.98, "proj_out": 72.48}

PROPOSE, WHOLE, ANCHORS = (
    "propose, fit included",
    "a generation, gathering its past included",
    "anchors of 1,000 images",
)


def main(steps: int = 20, repeats: int = 3, seed: int = 0, most: int = max(SIZES), results: Path = RESULTS) -> None:
    """Measure at each size, and write the table."""
    import optuna
    from optuna.storages import InMemoryStorage

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    problem = Problem(flux_layout(), steps, seed=seed)
    config = SearchConfig(seed=seed)
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "study.db") as store:
        problem.calibrate(store, "growth")
        begin = time.process_time()
        study = problem.prepared(store, InMemoryStorage(), "growth", config)
        prepared = round(time.process_time() - begin, 3)
        Console().print(f"prepared in {prepared} s")
        rows = _measured(study, problem, config, [size for size in SIZES if size <= most], repeats)
        bits = study.sampler.space.genes([Schedule.all_compute(problem.layout, steps)])[0]
    text = table(rows)
    results.mkdir(parents=True, exist_ok=True)
    summary = {
        "machine": machine(),
        "slots": steps * len(problem.layout),
        "bits": int(bits.size),
        "seconds to prepare": prepared,
        "processor seconds": rows,
    }
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


def _measured(
    prepared: PreparedStudy, problem: Problem, config: SearchConfig, sizes: Sequence[int], repeats: int
) -> dict[int, dict[str, list[float]]]:
    study, sampler = prepared.study, prepared.sampler
    space, rng = sampler.space, np.random.default_rng(config.seed)
    candidates = list(dict.fromkeys(space.candidate(genes) for genes in space.ready()))
    drops: list[NDArray[np.float64]] = []
    rows: dict[int, dict[str, list[float]]] = {}
    scale = LogDrop(prepared.scale.uncached_reward, prepared.scale.span)
    for size in sizes:
        while len(candidates) < size:
            genes, _ = space.breed(space.genes(candidates[-200:]), 400, None, rng)
            candidates = list(dict.fromkeys([*candidates, *map(space.candidate, genes)]))
        for schedule in candidates[len(drops) : size]:
            scores = problem.scores(schedule, range(problem.images))["reward"]
            _keep(prepared, schedule, float(scores.mean()), len(drops))
            drops.append(1 - scores)
        generation = size // config.offspring + 1

        def gathered(generation: int = generation) -> Callable[[], object]:
            # As the planner of a search does it.
            return sampler.request(study, generation, sampler.select(study, evaluated_trials(study)))

        def whole(gathered: Callable[[], Callable[[], object]] = gathered) -> object:
            return gathered()()

        past = sampler.past(study, generation)
        parents = [sampler.candidate(trial) for trial in sampler.select(study, evaluated_trials(study))]

        def proposed(past: Any = past, parents: Any = parents) -> object:
            return propose(space, past, parents, config, np.random.default_rng(config.seed))

        images = np.array(drops[-300:])
        images = np.tile(images, (1, -(-1000 // images.shape[1])))[:, :1000]
        images = images * np.exp(0.3 * rng.normal(size=images.shape))
        parts: dict[str, Callable[[], object]] = {
            PROPOSE: proposed,
            WHOLE: whole,
            ANCHORS: lambda images=images: find_anchors(images, replace(scale, uncached=0.0)),
        }
        rows[size] = {name: [round(_seconds(part), 3) for _ in range(repeats)] for name, part in parts.items()}
        Console().print(size, rows[size])
    return rows


def _keep(prepared: PreparedStudy, schedule: Schedule, reward: float, number: int) -> None:
    """The trial of an evaluated schedule, as a search writes it."""
    from optuna.trial import TrialState, create_trial

    sampler, space = prepared.sampler, prepared.sampler.space
    generation = number // prepared.config.offspring + 1
    fraction = schedule.mac_fraction_of(prepared.evaluator.settings.steps)
    found: dict[str, Any] = {
        attributes.GENOME: space.write(schedule),
        attributes.ORIGIN: "bred",
        attributes.FILTERED: True,
        attributes.GENERATION: generation,
        attributes.OPERATOR: "rectangle+band",
        attributes.SPEEDUP: round(1 / fraction, 4),
        attributes.MAC_FRACTION: round(fraction, 6),
        attributes.PREDICTED_REWARD: 1.02 * reward,
        attributes.PREDICTED_STD: 0.01,
        attributes.SECONDS: 1.0,
    }
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=[reward, prepared.cost.of(schedule)],
        params=describe(space.descriptors, space.genes([schedule])[0]),
        distributions=sampler.distributions,
        user_attrs=found,
        system_attrs={sampler._get_generation_key(): generation},
    )
    storage = prepared.optuna_storage
    storage.create_new_trial(storage.get_study_id_from_name(prepared.study.study_name), trial)


def _seconds(part: Callable[[], object]) -> float:
    start = time.process_time()
    part()
    return time.process_time() - start


def flux_layout() -> Layout:
    """That of FLUX.1-dev, with two guidance branches."""

    def slots(kind: str, blocks: int, macs: dict[str, float]) -> list[Slot]:
        return [
            Slot(f"{kind}.{i}", name, None, int(value * 1e9)) for i in range(blocks) for name, value in macs.items()
        ]

    blocks = [*slots("transformer_blocks", 19, DOUBLE), *slots("single_transformer_blocks", 38, SINGLE)]
    return Layout("FluxTransformer2DModel", tuple(blocks), int(19.64e9))


if __name__ == "__main__":
    typer.run(main)
