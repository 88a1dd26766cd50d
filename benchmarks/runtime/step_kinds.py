"""Time and memory of a computed, a reused, a forecast and a skipped step, in the transformer alone.

Time does not depend on what the weights are, so the models are made of random ones on the device. After two computed
steps, all others of a run are of one kind; each of these is timed from before all hooks of the transformer's call to
after them, in rounds of all kinds in an order drawn anew. Below one percent of a step it is the price of Python.

    python -m benchmarks.runtime.step_kinds --model pixart-384
    python -m benchmarks.runtime.step_kinds --model flux-dev-1024 --device cuda --compile default
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from benchmarks.runtime.random_models import MODELS
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.latency.timing import clock_of, interleaved
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.guidance import BOTH, KEEP
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

STEPS = 10
#: The first steps of a kind are not timed: two are computed, and one is the first to use them.
_FIRST = 3


def kinds(layout: Layout) -> dict[str, Schedule]:
    """A schedule for each kind of step, by its name."""
    compute = np.zeros((STEPS, len(layout)), dtype=np.bool_)
    compute[:2] = True
    skip = np.arange(STEPS) >= 2
    levels = np.full((STEPS, len(layout.components) + 1), 3)
    weights = np.tile([1.5, -0.5], (STEPS, len(layout) + 1, 1))
    return {
        "computed": Schedule.all_compute(layout, STEPS),
        **_one_branch(layout),
        "reused": Schedule(layout, compute),
        "forecast": Schedule(layout, compute, None, levels, weights),
        "skipped, reused": Schedule(layout, compute, skip),
        "skipped, forecast": Schedule(layout, compute, skip, levels, weights),
    }


def _one_branch(layout: Layout) -> dict[str, Schedule]:
    """The conditional guidance branch alone, beside the last difference of both; where there are two."""
    if layout.sample.get("branches") != 2:
        return {}
    guidance = np.where(np.arange(STEPS) < 2, BOTH, KEEP)
    everything = np.ones((STEPS, len(layout)), dtype=np.bool_)
    return {"computed, one guidance branch": Schedule(layout, everything, guidance=guidance)}


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "pixart-384",
    device: Annotated[str, typer.Option(help="Where to run.")] = "cuda" if torch.cuda.is_available() else "cpu",
    images: Annotated[int, typer.Option(help="Images a run.")] = 1,
    rounds: Annotated[int, typer.Option(help="How often everything is timed.")] = 3,
    threads: Annotated[int, typer.Option(help="Of PyTorch on the CPU.")] = 1,
    compile: Annotated[str | None, typer.Option(help="A mode of torch.compile; eager if not given.")] = None,  # noqa: A002
) -> None:
    """Time each kind of step of one model."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    subject = MODELS[model](device)
    subject.pipe.set_progress_bar_config(disable=True)
    inputs, schedules = subject.inputs(images), kinds(subject.layout)
    options: dict[str, Any] = {} if compile is None else {"compile": compile}
    handle = apply_schedule(subject.pipe, schedules["computed"], **options)

    def run() -> None:
        generator = torch.Generator().manual_seed(0)
        subject.pipe(**inputs, num_inference_steps=STEPS, generator=generator, output_type="latent")

    def measure(name: str) -> tuple[list[float], int, int]:
        with handle.switch(schedules[name]):
            return _timed(run, subject.pipe.transformer, handle, torch.device(device))

    for name in schedules:  # blocks are recorded, and compiled
        for _ in range(2):
            measure(name)
    found = list(interleaved(list(schedules), measure, rounds))
    calls = len(found[0]["computed"][0]) // STEPS
    seconds = {
        name: float(np.median([np.reshape(each[name][0], (STEPS, calls))[_FIRST:].sum(axis=1) for each in found]))
        for name in schedules
    }
    rows = [
        {
            "kind": name,
            "milliseconds": 1000 * seconds[name],
            "of a computed step": seconds[name] / seconds["computed"],
            "MiB cached": max(each[name][1] for each in found) / 2**20,
            "MiB in all": max(each[name][2] for each in found) / 2**20,
        }
        for name in schedules
    ]
    RESULTS.mkdir(exist_ok=True)
    about = {"machine": machine(), "model": model, "device": device, "images": images, "rounds": rounds}
    name = f"step_kinds-{model}-{torch.device(device).type}" + (f"-{compile}" if compile else "")
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, "compile": compile, "rows": rows}, indent=2) + "\n")
    Console().print("\n".join(table(rows)), highlight=False)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Kinds of steps, in Markdown."""
    lines = ["| step | ms | of a computed one | MiB cached | MiB on the GPU |", "|---|---|---|---|---|"]
    for row in rows:
        kind, *figures = row.values()
        lines.append(f"| {kind} | {figures[0]:.3f} | {figures[1]:.2%} | {figures[2]:.2f} | {figures[3]:.0f} |")
    return lines


def _timed(
    run: Callable[[], None], transformer: torch.nn.Module, handle: ScheduleHandle, device: torch.device
) -> tuple[list[float], int, int]:
    """Seconds of each transformer call, and the most bytes cached and allocated."""
    clock, begun, spans, cached = clock_of(device), [], [], []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def begin(*_: object) -> None:
        begun.append(clock.mark())

    def end(*_: object) -> None:
        spans.append((begun[-1], clock.mark()))
        cached.append(handle.cache_bytes())

    with transformer.register_forward_pre_hook(begin, prepend=True), transformer.register_forward_hook(end):
        run()
    clock.wait()
    allocated = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return [clock.between(*span) for span in spans], max(cached), allocated


if __name__ == "__main__":
    typer.run(main)
