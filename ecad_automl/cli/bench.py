"""``ecad-automl bench``: how fast a pipeline is uncached, under schedules, and with what else one could use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from ecad_automl.api.faults import Faults
from ecad_automl.api.live import LiveProgress
from ecad_automl.api.prompts import read_named
from ecad_automl.api.settings import DEFAULT_MODEL
from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.options import Device, Dtype, Json, Model, Offloaded, Out, Prompts, Revision
from ecad_automl.cli.output import messages, print_json, print_paths, results, step
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.errors import OptionError
from ecad_automl.latency.bench_plan import PROMPTS, BenchPlan, Progress
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, load_schedule

if TYPE_CHECKING:
    from ecad_automl.latency.contenders import Contender
    from ecad_automl.latency.result import BenchResult
    from ecad_automl.models import LoadedModel


def bench(
    model: Model = DEFAULT_MODEL,
    schedule: Annotated[
        list[Path] | None,
        typer.Option(help="A schedule file; may be given several times.", autocompletion=complete_schedule),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(help="Images per pipeline call; may be given several times. [default: 1]")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds; in each, everything is timed once.")] = 10,
    warmup: Annotated[int, typer.Option(help="Calls of everything before the first round.")] = 2,
    whole: Annotated[
        bool,
        typer.Option("--whole/--transformer-only", help="Time calls to the image, or the transformer alone."),
    ] = True,
    fewer_steps: Annotated[
        bool, typer.Option(help="Also time uncached runs with about the MACs of each schedule.")
    ] = True,
    rivals: Annotated[bool, typer.Option(help="Also time the caches of diffusers, at their defaults.")] = False,
    compile_mode: Annotated[
        Literal["default", "reduce-overhead", "max-autotune"] | None,
        typer.Option("--compile", help="Run schedules with compiled blocks, in that mode of torch.compile."),
    ] = None,
    prompts: Prompts = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default those of the schedules.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Guidance; by default that of the schedules.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels; by default those of the schedules.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; by default those of the schedules.")] = None,
    out: Out = Path("bench"),
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Time a pipeline uncached and under schedules, in rounds that take turns; write a table, JSON and a picture.

    Ctrl-C ends it and keeps the rounds that are done.
    """
    faults = Faults()
    faults.model(model, dtype=dtype, device=device, offload=offload)
    faults.folder(out)
    with faults.noted():
        plan = BenchPlan(tuple(batch_size or [1]), repeats, warmup, whole)
    with faults.noted():
        files = {name: load_schedule(path) for name, path in _names(schedule or []).items()}
        _check_steps(files, steps)
    with faults.noted():
        texts = PROMPTS if prompts is None else list(read_named(messages(), prompts).prompts)
    faults.tell()
    console = messages()
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.latency.bench import run_bench
        from ecad_automl.models import load_model

        loaded = load_model(model, revision=revision, dtype=dtype, device=device, offload=offload)
        for file in list(files.values())[:1]:
            meta = file.metadata
            loaded = loaded.with_settings(
                steps=file.uncached_steps, guidance_scale=meta.guidance_scale, height=meta.height, width=meta.width
            )
        loaded = loaded.with_settings(steps=steps, guidance_scale=guidance_scale, height=height, width=width)
        options = {} if compile_mode is None else {"compile": compile_mode}
        contenders = _contenders(loaded, files, options, fewer_steps=fewer_steps, rivals=rivals)
    with _progress(console, plan.calls([contender.changes for contender in contenders])) as progress:
        result = run_bench(loaded, contenders, plan, progress, prompts=texts)
    _report(result, out, console, json_output=json_output)


def _contenders(
    model: LoadedModel, files: dict[str, ScheduleFile], options: dict[str, Any], *, fewer_steps: bool, rivals: bool
) -> list[Contender]:
    from ecad_automl.latency import contenders as kinds
    from ecad_automl.latency.contenders import rivals as other_caches
    from ecad_automl.models import model_layout

    layout, steps = model_layout(model), model.settings.steps
    schedules = {name: kinds.fitted(layout, file.schedule, name) for name, file in files.items()}
    # The uncached run is not compiled, so one that is stands beside it.
    full = {"all-compute": Schedule.all_compute(layout, steps)} if options else {}
    return [
        kinds.uncached(steps),
        *kinds.scheduled(model.pipe, full | schedules, steps, **options),
        *(kinds.fewer_steps(schedules, steps) if fewer_steps else []),
        *(other_caches(model.pipe, model.settings) if rivals else []),
    ]


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names of files, longer ones where two would be the same."""
    stems = [path.stem for path in paths]
    names = {path.stem if stems.count(path.stem) == 1 else str(path): path for path in paths}
    if len(names) < len(paths):
        twice = next(path for path in paths if list(paths).count(path) > 1)
        raise OptionError(f"The schedule {twice} is given twice; name each file once.")
    return names


def _check_steps(files: dict[str, ScheduleFile], steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise OptionError(f"--steps is {steps}, but a run has at least 1 denoising step.")
    counts = {name: file.uncached_steps for name, file in files.items()}
    for name, count in counts.items():
        first, expected = next(iter(counts.items()))
        if steps is not None and count != steps:
            raise OptionError(
                f"The schedule {name!r} saves beside {count} steps, but --steps is {steps}; leave --steps out, or "
                "resample the schedule."
            )
        if count != expected:
            raise OptionError(
                f"The schedule {name!r} saves beside {count} steps, but {first!r} beside {expected}; time them in runs "
                "of their own."
            )


@contextmanager
def _progress(console: Console, calls: int) -> Iterator[Progress]:
    """A bar over all calls; where output is no terminal, a line now and then."""
    made = 0
    with LiveProgress(console, pause=30.0) as live:

        def tell(batch_size: int, what: str, begun: int, /) -> None:
            nonlocal made
            live.update(made, calls, f"Timing {batch_size} per call: {what}")
            made += begun

        yield tell


def _report(result: BenchResult, out: Path, console: Console, *, json_output: bool) -> None:
    from ecad_automl.files.json_file import json_text, write_text
    from ecad_automl.latency.result import failures, table
    from ecad_automl.views.plots.speedup import plot_speedup

    if result.batches:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "bench.json", json_text(result.to_dict()), "benchmark file")
        plot_speedup(out / "bench.png", result)
    shown = results(json_output=json_output)
    for batch in result.batches:
        if batch.rows:
            shown.print(table(batch, whole=result.whole))
        for line in failures(batch):
            say(shown, f"Not timed, {batch.size} per call: {line}")
    if json_output:
        print_json(result.to_dict())
    elif result.batches:
        print_paths(out / "bench.json", out / "bench.png")
    if not result.complete:
        kept = "the rounds that were done are kept" if result.batches else "no round was done, so nothing was written"
        say(console, f"Stopped; {kept}.")
        raise typer.Exit(STOPPED)
