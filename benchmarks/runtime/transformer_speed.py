"""Time saved beside MACs saved, in the transformer alone: what a reused component still costs.

Time does not depend on what the weights are, so the models are made of random ones on the device. Every schedule is
timed once in each round, in an order drawn anew, beside two uncached runs; the ratio of a round is to their mean. A
schedule's first run, in which its blocks are prepared, is not timed, nor the second where they are compiled. All runs
are in one process, whose allocator keeps freed memory (``ecad_automl/allocator.py``). On one thread of a CPU the time
is processor time, which other work on the machine does not add to. Other caches that run on the model stand beside
whole-step schedules of about their MACs.

    python -m benchmarks.runtime.transformer_speed --model pixart-384
    python -m benchmarks.runtime.transformer_speed --model pixart-xl-1024 --batch-size 1 --batch-size 16 \
        --compile default
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
from diffusers.hooks import HookRegistry
from rich.console import Console
from rich.progress import track

from benchmarks.machine import PROCESSOR_CLOCK, RESULTS, machine
from benchmarks.runtime import equal_macs
from benchmarks.runtime.caches import helped, transformer_macs
from benchmarks.runtime.equal_macs import Rival
from benchmarks.runtime.random_models import MODELS, Subject
from benchmarks.runtime.speed_schedules import STEPS, fitting, forecast, one_branch, random_schedules, skipping
from ecad_automl.allocator import keep_freed_memory
from ecad_automl.latency.timing import clock_of, interleaved, time_call
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.heuristics import fora, pab
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

#: PAB with all steps in its window: how many steps each kind of attention is kept.
PAB_RANGES = {"attn1": 2, "attn2": 3}
PAB = "PAB of diffusers"
SAME = "the same MACs as a schedule"


def main(
    model: Annotated[str, typer.Option(help=f"One of {', '.join(MODELS)}.")] = "pixart-384",
    batch_size: Annotated[list[int] | None, typer.Option(help="Images a run; may be given several times.")] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is timed.")] = 7,
    threads: Annotated[int, typer.Option(help="Of PyTorch on the CPU; with one, it is processor time.")] = 1,
    compile: Annotated[  # noqa: A002
        list[str] | None, typer.Option(help="Compiled blocks too, in that mode of torch.compile; several times.")
    ] = None,
    randoms: Annotated[int, typer.Option(help="Random schedules; compiled, each new row of one takes a while.")] = 5,
    published: Annotated[Path | None, typer.Option(help="Folder of schedules in ECAD's format.")] = None,
) -> None:
    """Time schedules of one model."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    subject = MODELS[model](device)
    subject.pipe.set_progress_bar_config(disable=True)
    schedules = _schedules(subject.layout, randoms) | fitting(published, subject.layout)
    modes: dict[str, dict[str, Any]] = {"eager": {}}
    modes |= {f"compiled ({mode})": {"compile": mode} for mode in compile or []}
    sections = []
    for images in batch_size or [1]:
        for mode, options in modes.items():
            found = _timed(subject, schedules, images, rounds, options)
            sections.append({"images": images, "mode": mode, "rows": found})
    RESULTS.mkdir(exist_ok=True)
    name = f"transformer_speed-{model}-{device}"
    about = {"machine": machine(), "model": model, "device": device, "threads": threads, "rounds": rounds}
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, "sections": sections}, indent=2) + "\n")
    text = report(sections)
    (RESULTS / f"{name}.md").write_text(text + "\n")
    Console().print(text, highlight=False)


def _schedules(layout: Layout, randoms: int) -> dict[str, Schedule]:
    found = {f"FORA {n}": fora(layout, STEPS, n) for n in (2, 3, 5)} | random_schedules(layout, randoms)
    found |= {"forecasts, FORA 3": forecast(found["FORA 3"]), "skips, FORA 3": skipping(layout, 3)}
    found |= one_branch(layout)
    if layout.transformer == "PixArtTransformer2DModel":
        found[SAME] = pab(layout, STEPS, PAB_RANGES, window=(0.0, 1.0))
    return found


def _timed(
    subject: Subject, schedules: dict[str, Schedule], images: int, rounds: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    pipe, inputs = subject.pipe, subject.inputs(images)
    device = next(pipe.transformer.parameters()).device
    clock = PROCESSOR_CLOCK if device.type == "cpu" and torch.get_num_threads() == 1 else clock_of(device)
    handle: ScheduleHandle | None = None

    def run(steps: int) -> Any:
        generator = torch.Generator().manual_seed(0)
        return pipe(**inputs, num_inference_steps=steps, generator=generator, output_type="latent")

    def enter(name: str) -> AbstractContextManager[Any]:
        nonlocal handle
        if name in rivals:
            return rivals[name].enter()
        if name not in schedules:
            return nullcontext()
        handle = handle.switch(schedules[name]) if handle else apply_schedule(pipe, schedules[name], **options)
        return handle

    steps = {name: schedule.steps for name, schedule in schedules.items()}

    def seconds(name: str) -> float:
        with enter(name):
            if name in rivals:
                helped(pipe)  # it forgets the last run
            return time_call(lambda: run(steps.get(name, STEPS)), [pipe.transformer], clock).transformer

    rivals: dict[str, Rival] = {}
    if not options:
        rivals, found = equal_macs.rivals(subject, lambda: run(STEPS), STEPS, Console(highlight=False).print)
        rivals |= _rivals(subject, schedules, lambda: run(STEPS))
        schedules = schedules | found
    names = ["uncached 1", "uncached 2", *schedules, *rivals]
    if options:
        # Uncached runs that are compiled are what such schedules save time of.
        schedules = schedules | {name: Schedule.all_compute(subject.layout, STEPS) for name in names[:2]}
    for name in track([name for name in names for _ in range(2 if options else 1)], description="warming up"):
        seconds(name)
    times = list(track(interleaved(names, seconds, rounds), total=rounds, description="rounds"))
    rows = []
    for name in names[2:]:
        uncached = np.array([(found["uncached 1"] + found["uncached 2"]) / 2 for found in times])
        # Schedules of other step counts are compared with as many uncached steps.
        uncached *= steps.get(name, STEPS) / STEPS
        ratios = uncached / np.array([found[name] for found in times])
        once = None
        if name in schedules:
            macs = schedules[name]
            once = macs.steps * macs.layout.step_macs / macs.run_macs
        rows.append(
            {
                "name": name,
                "mac_speedup": rivals[name].mac_speedup if name in rivals else macs.mac_speedup,
                "run_mac_speedup": once,
                "speedup": float(np.median(ratios)),
                "quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.75))],
                "seconds": [found[name] for found in times],
                "uncached_seconds": uncached.tolist(),
            }
        )
    return rows


def _rivals(subject: Subject, schedules: dict[str, Schedule], run: Callable[[], Any]) -> dict[str, Rival]:
    """PAB of diffusers, where there is a schedule that does the same."""
    pipe = subject.pipe
    if SAME not in schedules:
        return {}
    with _pab(pipe):
        macs = transformer_macs(pipe, run)
    # Text is worked on once under a schedule only, which would not be equal.
    with apply_schedule(pipe, schedules[SAME], keep_text=False, fuse=False):
        own = transformer_macs(pipe, run)
    if macs != own:
        raise SystemExit(f"PAB and the schedule that stands for it differ in MACs: {macs} and {own}.")
    return {PAB: Rival(partial(_pab, pipe), SAME, schedules[SAME].mac_speedup)}


@contextmanager
def _pab(pipe: Any) -> Iterator[None]:
    """PAB of diffusers with the ranges of :data:`PAB_RANGES` in all steps; its hooks leave with the context."""
    everywhere = (-1, 10**6)
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=PAB_RANGES["attn1"],
        cross_attention_block_skip_range=PAB_RANGES["attn2"],
        spatial_attention_timestep_skip_range=everywhere,
        cross_attention_timestep_skip_range=everywhere,
        # Only asked whether it lies in the range, which is everywhere.
        current_timestep_callback=lambda: 1,
    )
    apply_pyramid_attention_broadcast(pipe.transformer, config)
    try:
        yield
    finally:
        registry = HookRegistry.check_if_exists_or_initialize(pipe.transformer)
        registry.remove_hook("pyramid_attention_broadcast", recurse=True)


def table(section: Mapping[str, Any]) -> str:
    """What was timed with one number of images and one way to run, in Markdown."""
    lines = [
        "| | MACs saved | with text once | time saved (quartiles) | time / MACs done |",
        "|---|---|---|---|---|",
    ]
    for row in section["rows"]:
        low, high = row["quartiles"]
        once = f"{row['run_mac_speedup']:.2f}x" if row["run_mac_speedup"] else "-"
        spread = f"{row['speedup']:.2f}x ({low:.2f} to {high:.2f})"
        lines.append(f"| {row['name']} | {row['mac_speedup']:.2f}x | {once} | {spread} | {_arrived(row):.3f} |")
    return "\n".join(lines)


def median_arrived(section: Mapping[str, Any]) -> float:
    """Which share of the MACs that were really saved arrives as time, the median of FORA and random schedules."""
    return float(np.median([_arrived(row) for row in section["rows"] if row["name"].startswith(("FORA", "random"))]))


def _arrived(row: Mapping[str, Any]) -> float:
    return float(row["speedup"] / (row["run_mac_speedup"] or row["mac_speedup"]))


def report(sections: Sequence[Mapping[str, Any]]) -> str:
    """All tables, in Markdown."""
    return "\n".join(
        f"{section['images']} image(s), {section['mode']}:\n\n{table(section)}\n\n"
        f"Median of time / MACs done over FORA and random schedules: {median_arrived(section):.3f}\n"
        for section in sections
    )


if __name__ == "__main__":
    typer.run(main)
