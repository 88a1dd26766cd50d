"""``ecad-automl evaluate``: schedules beside the uncached run, by the metrics of the field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ecad_automl.api.faults import Faults
from ecad_automl.api.live import LiveProgress
from ecad_automl.api.prompts import choose_prompts
from ecad_automl.api.settings import DEFAULT_MODEL
from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_metrics, complete_schedule
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.options import Column, Device, Dtype, Json, Limit, Model, Offloaded, Out, Prompts, Revision, Split
from ecad_automl.cli.output import messages, new_table, print_json, print_table, results, step, write_images
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.errors import EvaluationError, FileError, OptionError

if TYPE_CHECKING:
    from rich.status import Status
    from torch import Tensor

    from ecad_automl.judging.comparison import Item, Judge, RunSummary
    from ecad_automl.judging.statistics import Interval
    from ecad_automl.judging.times import Times
    from ecad_automl.metrics import FeatureStatistics
    from ecad_automl.schedules.schedule_file import ScheduleFile

_SHAPES_PROMPTS = 96
#: Images of the first call where nobody says, and of the largest that is tried on a device with memory of its own.
_FIRST_BATCH, _LARGEST_BATCH = 8, 256


def evaluate(
    schedule: Annotated[
        list[Path] | None,
        typer.Option(
            help="Schedule file, or a folder of such; may be given several times.", autocompletion=complete_schedule
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    column: Column = None,
    split: Split = None,
    limit: Limit = None,
    metrics: Annotated[
        str,
        typer.Option(
            help="Comma-separated: image-reward, clip, hps, pickscore, lpips, psnr, ssim, latent-distance, fid, "
            "fidelity, shapes; with =PATH or =HUB-ID for other weights.",
            autocompletion=complete_metrics,
        ),
    ] = "fidelity",
    images_per_prompt: Annotated[int, typer.Option(help="Images (noise seeds) per prompt.")] = 1,
    seed: Annotated[int, typer.Option(help="The first noise seed.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per call; by default as many as a GPU holds, found by trying.")
    ] = None,
    fid_reference: Annotated[
        str | None,
        typer.Option(help="Folder of images or statistics file for FID; by default the uncached images."),
    ] = None,
    save_images: Annotated[bool, typer.Option("--save-images", help="Write all images as PNG.")] = False,
    out: Out = Path("evaluation"),
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Score schedules and the uncached run on the same prompts and noises.

    The same command goes on where an earlier run stopped.
    """
    if images_per_prompt < 1:
        raise EvaluationError(f"There are {images_per_prompt} images per prompt; at least 1 is needed.")
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    faults = Faults()
    faults.model(model, dtype=dtype, device=device, offload=offload)
    faults.rewards([name for name in names if name.partition("=")[0] not in ("fid", "latent-distance")])
    faults.folder(out)
    if fid_reference is not None and "fid" not in {name.partition("=")[0] for name in names}:
        faults.add(
            OptionError(f"The FID reference {fid_reference!r} is for the metric fid, which is not among the metrics.")
        )
    elif fid_reference is not None and not Path(fid_reference).exists():
        faults.add(FileError(f"There is no FID reference {fid_reference}; give a folder of images or a file."))
    with faults.noted():
        files = _schedules(schedule or [])
    with faults.noted():
        chosen = choose_prompts(
            messages(), model, prompts, column, split, limit, bundled="held-out", count=_SHAPES_PROMPTS
        )
    faults.tell()
    console = messages()
    with step(console, "Loading the model and the metrics"):
        quiet_libraries()
        from ecad_automl.judging.comparison import (
            BatchSize,
            Sample,
            compare,
            load_judge,
            pending_images,
            summarize,
        )
        from ecad_automl.judging.comparison.identity import check_fits, comparison_identity
        from ecad_automl.judging.comparison.sets import set_distances
        from ecad_automl.models import load_model
        from ecad_automl.models.memory import running_device

        judge = load_judge(names, device=device)
        loaded = load_model(model, revision=revision, dtype=dtype, device=device, offload=offload)
        wanted = _settings(files)
        loaded = loaded.with_scheduler(wanted.pop("scheduler", None)).with_settings(**wanted)
        schedules = {name: file.schedule for name, file in files.items()}
        check_fits(schedules, loaded.pipe)
        gpu = running_device(loaded.pipe).type == "cuda"
        batch = (
            BatchSize(_FIRST_BATCH, _LARGEST_BATCH if gpu else None) if batch_size is None else BatchSize(batch_size)
        )
    sample = Sample(chosen.prompts, tuple(range(seed, seed + images_per_prompt)))
    from storage import writer_lock
    from storage.scores import ScoreFile

    def write_pictures(run: str, items: Sequence[Item], images: Tensor) -> None:
        names = [f"{prompt:05}-{seed}" for prompt, seed in items]
        write_images(out / "images" / run, images.permute(0, 2, 3, 1).numpy(), names)

    path = out / "scores.db"
    out.mkdir(parents=True, exist_ok=True)
    identity = comparison_identity(loaded, sample, chosen.name)
    with writer_lock(path), ScoreFile.open(path, identity) as ledger:
        pending = pending_images(schedules, sample, judge, ledger)
        say(
            console,
            f"{len(schedules) + 1} runs on {len(sample.prompts)} prompts x {images_per_prompt} images; {pending} "
            f"images to make. Scores are kept in {path}.",
            keep=[path],
        )
        for name, weights in judge.weights().items():
            say(console, f"{name} by {', '.join(map(str, weights))}", keep=weights)
        if pending:
            try:
                with LiveProgress(console, pause=5.0) as live:
                    compare(
                        loaded.pipe,
                        loaded.settings,
                        schedules,
                        sample,
                        judge,
                        ledger,
                        batch=batch,
                        observer=live,
                        sink=write_pictures if save_images else None,
                    )
            except KeyboardInterrupt:
                say(console, "Stopped. Every batch that was scored is kept; the same command goes on from here.")
                raise typer.Exit(STOPPED) from None
        with step(console, "Summing up") as status:
            size = (loaded.settings.height, loaded.settings.width)
            reference = _reference(fid_reference, judge, size, status)
            distances = set_distances(schedules, sample, judge, ledger, reference)
            found = summarize(schedules, loaded.settings.steps, sample, judge, ledger, distances)
    written = _write(found, out, identity, judge.weights(), fid_reference)
    if json_output:
        print_json(written)
        return
    print_table(results(), _table(found))
    say(results(), _explanation(found, fid_reference))
    for name in ("evaluation.json", "evaluation.csv"):
        say(results(), f"Written: {out / name}", keep=[out / name])


def _schedules(paths: Sequence[Path]) -> dict[str, ScheduleFile]:
    """The schedule files by the names of their runs."""
    from ecad_automl.hub import schedule_paths
    from ecad_automl.schedules.schedule_file import load_schedule

    found: dict[str, ScheduleFile] = {}
    for path in paths:
        files = schedule_paths(path) if path.is_dir() else [path]
        if not files:
            raise FileError(f"The folder {path} holds no schedule file; give one that export wrote.")
        for file in files:
            if file.stem in found:
                raise OptionError(f"Two schedule files are called {file.stem!r}; rename one, runs are told by it.")
            found[file.stem] = load_schedule(file)
    return found


def _settings(files: dict[str, ScheduleFile]) -> dict[str, Any]:
    """How the schedules want the pipeline to be called.

    Raises:
        OptionError: they differ in it.
    """
    wanted: dict[str, Any] = {}
    for name, file in files.items():
        meta = file.metadata
        mine = {
            "steps": file.uncached_steps,
            "scheduler": meta.scheduler,
            "guidance_scale": meta.guidance_scale,
            "height": meta.height,
            "width": meta.width,
        }
        for setting, value in mine.items():
            if value is not None and wanted.setdefault(setting, value) != value:
                raise OptionError(
                    f"The schedule {name!r} is for {setting} {value}, but an earlier one for {wanted[setting]}; "
                    "evaluate them in two runs, each beside its own uncached images."
                )
    return wanted


def _reference(given: str | None, judge: Judge, size: tuple[int, int], status: Status) -> FeatureStatistics | None:
    """What the features of runs are compared with: those of a folder or file, or None for the uncached images."""
    from ecad_automl.judging.comparison.sets import folder_statistics, read_statistics, statistics_folder

    if given is None:
        return None
    [extractor] = judge.extractors.values()
    path = Path(given)
    if path.is_dir():
        return folder_statistics(
            path,
            extractor,
            size,
            statistics_folder(),
            lambda done, total: status.update(f"Features of {path}: {done} of {total} ..."),
        )
    return read_statistics(path, extractor, size)


def _write(
    found: Sequence[RunSummary], out: Path, identity: dict[str, Any], weights: dict[str, Any], reference: str | None
) -> dict[str, Any]:
    """Write all figures, and give what the JSON file holds."""
    from ecad_automl.files.json_file import json_text, write_text
    from ecad_automl.judging.comparison.summary import csv_table, document
    from ecad_automl.schedules.schedule_file import software_versions

    about = {
        "of": identity,
        "weights": {name: [{"source": w.source, "sha256": w.digest} for w in each] for name, each in weights.items()},
        "fid_reference": reference or "the uncached images",
        "versions": software_versions(),
    }
    figures = document(found, about)
    write_text(out / "evaluation.json", json_text(figures), "evaluation")
    write_text(out / "evaluation.csv", csv_table(found), "evaluation")
    return figures


def _table(found: Sequence[RunSummary]) -> Table:
    """A row for each run and metric; what is of the run alone stands in its first row."""
    table = new_table()
    for name in ("run", "metric"):
        table.add_column(name, overflow="fold", min_width=8)
    for name in ("mean", "to uncached", "better"):
        table.add_column(name, justify="right", no_wrap=True)
    for summary in found:
        table.add_section()
        time = [] if summary.times is None else [_time(summary.times)]
        # In one column, so that all of it fits 80.
        first = "\n".join([summary.name, f"{summary.mac_speedup:.2f}x fewer MACs", *time])
        for name, metric in summary.metrics.items():
            table.add_row(
                first,
                name,
                _interval(metric.mean, signed=False),
                "" if metric.difference is None else _interval(metric.difference, signed=True),
                "" if metric.win_rate is None else f"{metric.win_rate:.0%}",
            )
            first = ""
    return table


def _time(times: Times) -> str:
    milliseconds = f"{float(f'{1000 * times.median:.2g}'):g} ms"
    if times.speedup_figures is None:
        return f"{milliseconds} (once)"
    speedup, low, high = times.speedup_figures
    return f"{milliseconds}, {speedup}\n[{low}, {high}]"


def _interval(interval: Interval, *, signed: bool) -> str:
    mean, low, high = (f"{value:{'+' if signed else ''}.3g}" for value in (interval.mean, interval.low, interval.high))
    return mean if math.isnan(interval.low) or low == high else f"{mean}\n[{low}, {high}]"


def _explanation(found: Sequence[RunSummary], reference: str | None) -> str:
    text = (
        "With 95 % intervals (bootstrap over prompts). To uncached: the paired difference to the uncached images of "
        "the same noise. Better: the share of images that are better than these. Time: of an image, and how many times "
        "as fast as uncached, with the least and the most of the timed calls; none where one call was timed."
    )
    sets = [metric for name, metric in found[0].metrics.items() if name.partition("=")[0] == "fid"]
    if sets:
        text += (
            f"\nFID of {sets[0].images} images a run to {reference or 'the uncached images'}; it falls with the number "
            "of images, so compare only where that is the same."
        )
    return text
