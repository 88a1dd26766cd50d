"""Time saved beside MACs saved on a GPU: published sizes with random weights, eager and compiled, beside other caches.

Every model, batch and mode is a cell. In it schedules are timed in rounds, in an order drawn anew, beside two uncached
runs, inside of the transformer alone; compiled ones beside runs that compute everything with compiled blocks. In eager
cells stand diffusers' First Block Cache and TaylorSeer and cache-dit's DBCache too, each beside a schedule of whole
steps of about its MACs. A cell also says how far latents are from those of the same schedule in eager mode, and
how much was compiled after the warm-up: it should be nothing.

    python -m benchmarks.runtime.gpu_speed --published ecad/schedules
    python -m benchmarks.runtime.gpu_speed --tiny

Results are kept after every round, and the next call goes on from there. ``--tiny`` runs all of it on the CPU in
a minute, on tiny models with blocks that are traced and not compiled; its times mean nothing. Elsewhere, a machine
without CUDA is refused with the exit status 2. Where latents differ or something was compiled late, it ends with 1.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch._dynamo.utils import counters

from benchmarks.machine import RESULTS, machine
from benchmarks.runtime.caches import helped
from benchmarks.runtime.equal_macs import Rival, rivals
from benchmarks.runtime.gpu_report import report, wrong
from benchmarks.runtime.random_models import MODELS, Subject
from benchmarks.runtime.speed_schedules import STEPS, fitting, forecast, one_branch, skipping
from ecad_automl.files.json_file import write_text
from ecad_automl.latency.timing import clock_of, interleaved, time_call
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

SIZES = ("pixart-xl-256", "pixart-xl-1024", "flux-dev-1024", "qwen-image-1024")
TINY = ("pixart-tiny", "flux-tiny", "qwen-tiny")
MODES = ("eager", "default", "reduce-overhead")
UNCACHED = ("uncached 1", "uncached 2")
#: CUDA graphs are compiled in the first run, captured in the second and replayed in the third.
_WARM_UPS = 3

_console = Console(highlight=False)


def main(
    model: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(SIZES)}; several times.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(help="Images a run; several times.")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="eager, or a mode of torch.compile; several times.")] = None,
    rounds: Annotated[int, typer.Option(help="How often everything is timed.")] = 7,
    published: Annotated[Path | None, typer.Option(help="Folder of schedules in ECAD's format.")] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept.")] = RESULTS / "gpu_speed.json",
    tiny: Annotated[bool, typer.Option("--tiny", help="Tiny models on the CPU: whether the script works.")] = False,
) -> None:
    """Time all cells that are not there yet."""
    if not tiny and not torch.cuda.is_available():
        _console.print("There is no CUDA device here, so nothing was timed; --tiny tries the script on a CPU.")
        raise typer.Exit(2)
    names = TINY if tiny else SIZES
    if unknown := [name for name in model or () if name not in names]:
        _console.print(
            f"There is no model {unknown[0]!r} {'among tiny ones' if tiny else 'here'}; choose of {', '.join(names)}."
        )
        raise typer.Exit(2)
    if published is None:
        _console.print("ECAD's published schedules are left out: name their folder by --published.")
    told = json.loads(out.read_text()) if out.exists() else {"cells": {}}
    told |= {
        "machine": machine(),
        "device": "cpu, tiny models" if tiny else torch.cuda.get_device_name(),
        "steps": STEPS,
    }
    told["published"] = published is not None
    for name in model or names:
        subject = None
        for images in batch_size or ((1, 2) if tiny else (1, 4, 16)):
            for each in mode or MODES:
                cell = told["cells"].setdefault(f"{name}, {images} image(s), {each}", {"images": images, "rounds": []})
                if "failed" in cell or len(cell["rounds"]) >= rounds:
                    continue
                subject = subject or _made(name, "cpu" if tiny else "cuda")
                schedules = _schedules(subject.layout, published)
                try:
                    _measure(
                        subject, images, schedules, _options(each, tiny=tiny), rounds, cell, partial(_keep, told, out)
                    )
                except torch.OutOfMemoryError as error:
                    cell |= {"rounds": [], "failed": str(error).splitlines()[0]}
                _keep(told, out)
                gc.collect()
    text = report(told)
    write_text(out.with_suffix(".md"), text, "results")
    _console.print(text)
    raise typer.Exit(int(wrong(told)))


def _made(name: str, device: str) -> Subject:
    torch.manual_seed(0)
    subject = MODELS[name](device)
    subject.pipe.set_progress_bar_config(disable=True)
    return subject


def _options(mode: str, *, tiny: bool) -> dict[str, Any]:
    if mode == "eager":
        return {}
    return {"compile": {"backend": "eager"} if tiny else mode}


def _schedules(layout: Layout, folder: Path | None) -> dict[str, Schedule]:
    every = {n: fora(layout, STEPS, n) for n in (2, 3)}
    return {
        **{f"FORA {n}": schedule for n, schedule in every.items()},
        **{f"skips, every {n} steps run": skipping(layout, n) for n in (2, 3)},
        "forecasts, FORA 3": forecast(every[3]),
        **one_branch(layout),
        **fitting(folder, layout),
    }


def _measure(
    subject: Subject,
    images: int,
    schedules: dict[str, Schedule],
    options: Mapping[str, Any],
    rounds: int,
    cell: dict[str, Any],
    keep: Callable[[], None],
) -> None:
    """Time the rounds of a cell that are missing."""
    pipe, inputs = subject.pipe, subject.inputs(images)
    clock = clock_of(next(pipe.transformer.parameters()).device)
    handle: ScheduleHandle | None = None

    def call(steps: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        found: torch.Tensor = pipe(
            **inputs, num_inference_steps=steps, generator=generator, output_type="latent", return_dict=False
        )[0]
        return found

    others: dict[str, Rival] = {}
    if not options:
        others, beside = rivals(subject, lambda: call(STEPS), STEPS, _console.print)
        schedules |= beside
    compiled = dict.fromkeys(UNCACHED, Schedule.all_compute(subject.layout, STEPS)) if options else {}

    def enter(name: str) -> AbstractContextManager[Any]:
        nonlocal handle
        if name in others:
            return others[name].enter()
        schedule = (schedules | compiled).get(name)
        if schedule is None:
            return nullcontext()
        handle = handle.switch(schedule) if handle else apply_schedule(pipe, schedule, **options)
        return handle

    def steps_of(name: str) -> int:
        return schedules[name].steps if name in schedules else STEPS

    def seconds(name: str) -> float:
        with enter(name):
            if name in others:
                helped(pipe)
            return time_call(lambda: call(steps_of(name)), [pipe.transformer], clock).transformer

    names = [*UNCACHED, *schedules, *others]
    cell["rows"] = {name: _promised(name, schedules, others) for name in names[2:]}
    differences = {}
    for name in track(names, description="warming up", console=_console):
        for _ in range(_WARM_UPS if options else 1):
            seconds(name)
        if options and name in schedules:
            with enter(name):
                compiled_latents = call(steps_of(name)).clone()
            with apply_schedule(pipe, schedules[name]):
                differences[name] = _difference(compiled_latents, call(steps_of(name)))
    graphs = int(counters["stats"]["unique_graphs"])
    for found in interleaved(names, seconds, rounds - len(cell["rounds"])):
        cell["rounds"].append(found)
        keep()
    if options:
        cell["compiled late"] = int(counters["stats"]["unique_graphs"]) - graphs
        cell["largest difference"] = max(differences.values())
    if handle is not None:
        handle.remove()


def _difference(compiled: torch.Tensor, eager: torch.Tensor) -> float:
    """The largest one, over the largest value."""
    return float((compiled.float() - eager.float()).abs().max() / eager.float().abs().max())


def _promised(name: str, schedules: Mapping[str, Schedule], others: Mapping[str, Rival]) -> dict[str, Any]:
    """What MACs promise of a schedule or a cache."""
    if name in others:
        return {"macs": others[name].mac_speedup, "steps": STEPS, "beside": others[name].beside}
    schedule = schedules[name]
    return {"macs": schedule.steps * schedule.layout.step_macs / schedule.run_macs, "steps": schedule.steps}


def _keep(told: Mapping[str, Any], out: Path) -> None:
    write_text(out, json.dumps(told, indent=1) + "\n", "results")


if __name__ == "__main__":
    typer.run(main)
