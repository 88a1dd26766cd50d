"""Cost of caches on a FLUX, and how far the latents are from the uncached ones.

The weights are random, so images say nothing and thresholds that suit this model suit no other. What it shows is what a
saved MAC is worth in time, and that the caches run as their authors meant them, on a pipeline that supports them.

    pip install cache-dit
    python -m benchmarks.runtime.cache_flux
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.machine import PROCESSOR_CLOCK, RESULTS, machine
from benchmarks.runtime.cache_settings import cache_dit_settings, diffusers_settings
from benchmarks.runtime.caches import (
    calibrate_magcache,
    has_cache_dit,
    helped,
    installed,
    transformer_macs,
)
from benchmarks.runtime.random_models import Subject, flux
from benchmarks.search.whole_steps import shortest_paths, step_schedule
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.judging.comparison.latents import latent_distance
from ecad_automl.latency.timing import interleaved, time_call
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.schedule import Schedule

STEPS = 20
IMAGES = 4
_NAMES = ("uncached 1", "uncached 2")


def subject() -> Subject:
    """A FLUX of 3 double and 6 single blocks of width 192, on 64 tokens of image and as many of text."""
    torch.manual_seed(0)
    made = flux(
        128,
        "cpu",
        tokens=64,
        num_attention_heads=6,
        attention_head_dim=32,
        axes_dims_rope=(8, 12, 12),
        num_layers=3,
        num_single_layers=6,
        joint_attention_dim=192,
        pooled_projection_dim=192,
    )
    made.pipe.set_progress_bar_config(disable=True)
    return made


def ways(given: Subject, run: Callable[[], Tensor], steps: int) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """By name, what brings the pipeline into each state."""
    pipe = given.pipe
    masks = shortest_paths(_output_distance(pipe, run, steps))
    schedules: dict[str, Schedule] = {f"FORA, every {n} steps": fora(given.layout, steps, n) for n in (2, 3, 4)}
    for count in (steps // 2, steps // 3, steps // 4):
        # What a search begins with: one uncached run tells the drift.
        schedules[f"whole steps of least drift, {count}"] = step_schedule(given.layout, steps, masks[count - 1])
    found: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        name: partial(apply_schedule, pipe, schedule) for name, schedule in schedules.items()
    }
    settings = diffusers_settings(steps, calibrate_magcache(pipe, run, steps))
    if has_cache_dit():
        settings += cache_dit_settings(steps)
    return found | {setting.name: partial(installed, pipe, setting) for setting in settings}


def _output_distance(pipe: Any, run: Callable[[], Tensor], steps: int) -> NDArray[np.float64]:
    """``(steps, steps)``: mean square of the difference between the transformer's outputs at two steps."""
    outputs: list[Tensor] = []
    hook = pipe.transformer.register_forward_hook(lambda _module, _args, output: outputs.append(output[0].flatten()))
    try:
        run()
    finally:
        hook.remove()
    stacked = torch.stack(outputs[:steps]).double()
    found: NDArray[np.float64] = (torch.cdist(stacked, stacked) ** 2 / stacked.shape[1]).numpy()
    return found


def measure(given: Subject, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Each way's MACs, time and distance, those that fail with the reason."""
    pipe = given.pipe
    inputs = given.inputs(IMAGES)

    def run() -> Tensor:
        helped(pipe)
        generator = torch.Generator().manual_seed(0)
        latents: Tensor = pipe(**inputs, num_inference_steps=steps, generator=generator, output_type="latent").images
        return latents

    def macs_and_latents() -> tuple[int, Tensor]:
        made: list[Tensor] = []
        macs = transformer_macs(pipe, lambda: made.append(run()))
        return macs, made[0]

    enter = {**dict.fromkeys(_NAMES, nullcontext), **ways(given, run, steps)}
    full, reference = macs_and_latents()
    rows: dict[str, dict[str, Any]] = {}
    for name in track(list(enter), description="counting"):
        rows[name] = {"name": name}
        try:
            with enter[name]():
                macs, latents = macs_and_latents()
        except Exception as error:  # noqa: BLE001 - one that does not run is listed
            rows[name]["failed"] = f"{type(error).__name__}: {error}"
            continue
        rows[name] |= {
            "mac_speedup": full / macs,
            "latents": float(latent_distance(latents, reference).mean()),
        }

    def seconds(name: str) -> float:
        with enter[name]():
            if name not in _NAMES and not name.startswith(("diffusers", "cache-dit")):
                run()  # a schedule prepares its blocks
            return time_call(run, [pipe.transformer], PROCESSOR_CLOCK).transformer

    working = [name for name, row in rows.items() if "failed" not in row]
    times = list(track(interleaved(working, seconds, rounds), total=rounds, description="rounds"))
    for name in working:
        ratios = [np.mean([found[each] for each in _NAMES]) / found[name] for found in times]
        rows[name] |= {"time_speedup": float(np.median(ratios)), "range": [float(min(ratios)), float(max(ratios))]}
    return [row for name, row in rows.items() if name not in _NAMES]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = ["| | MACs saved | time saved (range) | time / MACs | latent distance |", "|---|---|---|---|---|"]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | fails: {row['failed']} | | | |")
            continue
        low, high = row["range"]
        lines.append(
            f"| {row['name']} | {row['mac_speedup']:.2f}x | {row['time_speedup']:.2f}x ({low:.2f} to {high:.2f}) | "
            f"{row['time_speedup'] / row['mac_speedup']:.2f} | {row['latents']:.4f} |"
        )
    return "\n".join(lines)


def best(rows: Sequence[dict[str, Any]], near: float = 2.0) -> list[str]:
    """The table with one row of each cache: that whose MACs saved are nearest to a speedup."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        cache = row["name"].partition(",")[0]
        distance = abs(np.log(row.get("mac_speedup", 1e9) / near))
        if cache not in chosen or distance < abs(np.log(chosen[cache].get("mac_speedup", 1e9) / near)):
            chosen[cache] = row
    return table(list(chosen.values())).splitlines()


def main(rounds: int = 3, results: Path = RESULTS) -> None:
    """Measure, and write the table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    diffusers.utils.logging.set_verbosity_error()
    with torch.no_grad():
        rows = measure(subject(), STEPS, rounds)
    about = {"machine": machine(), "images": IMAGES, "steps": STEPS, "rounds": rounds, "rows": rows}
    (results / "cache_rivals-flux.json").write_text(json.dumps(about, indent=1) + "\n")
    (results / "cache_rivals-flux.md").write_text(table(rows) + "\n")
    Console().print(table(rows), highlight=False)


if __name__ == "__main__":
    typer.run(main)
