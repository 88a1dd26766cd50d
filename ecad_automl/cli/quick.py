"""``ecad-automl quick``: a front of schedules from one uncached run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.table import Table

from ecad_automl.api.faults import Faults
from ecad_automl.api.prompts import choose_prompts
from ecad_automl.api.quick_front import check_quick
from ecad_automl.api.quick_front import quick as quick_front
from ecad_automl.api.settings import DEFAULT_MODEL
from ecad_automl.api.terminal import say
from ecad_automl.cli.options import (
    BatchSize,
    Column,
    Device,
    Dtype,
    GuidanceScale,
    Height,
    Json,
    Limit,
    Model,
    Offloaded,
    Out,
    Prompts,
    Revision,
    Scheduler,
    Seed,
    Split,
    Steps,
    Width,
)
from ecad_automl.cli.output import messages, new_table, print_json, print_table, results, step
from ecad_automl.cli.verbosity import quiet_libraries

if TYPE_CHECKING:
    from ecad_automl.api.quick_front import QuickFront
    from studies.config import Deploy

_SHAPES_PROMPTS = 8


def quick(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    column: Column = None,
    split: Split = None,
    limit: Limit = None,
    images: Annotated[int, typer.Option(help="Uncached images to make.")] = 8,
    fit: Annotated[
        bool,
        typer.Option("--fit/--no-fit", help="Fit forecasts of skipped steps under each schedule, to a few images."),
    ] = True,
    check: Annotated[int, typer.Option(help="Score so many of the schedules too, on the same prompts.")] = 0,
    reward: Annotated[str, typer.Option(help="With --check: what scores them, as for search.")] = "fidelity",
    scheduler: Scheduler = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    height: Height = None,
    width: Width = None,
    batch_size: BatchSize = 8,
    seed: Seed = 0,
    deploy: Annotated[
        str | None, typer.Option(help="whole-steps: schedules alone that other engines run too, by a mask of steps.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            help="Move this schedule (a file, or a name) to --steps, or those of the model, in place of a front."
        ),
    ] = None,
    out: Out = Path("quick"),
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Write a whole front of schedules after one uncached run over a few prompts, without scoring any.

    A search does better, and starts from the same schedules.
    """
    console = messages()
    faults = Faults()
    faults.model(model, dtype=dtype, device=device, offload=offload)
    faults.folder(out)
    numbers = {"steps": steps, "guidance_scale": guidance_scale, "height": height, "width": width}
    numbers |= {"batch_size": batch_size, "seed": seed}
    check_quick(faults, numbers, images=images, check=check, reward=reward, deploy=deploy, like=like)
    with faults.noted():
        chosen = choose_prompts(
            console, model, prompts, column, split, limit, bundled="calibration", count=_SHAPES_PROMPTS
        )
    faults.tell()
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.models import load_model

        loaded = load_model(model, revision=revision, dtype=dtype, device=device, offload=offload)
    with step(console, "One uncached run, and a front from it"):
        front = quick_front(
            loaded,
            chosen.prompts,
            images=images,
            fit=fit,
            check=check,
            reward=reward,
            scheduler=scheduler,
            steps=steps,
            guidance_scale=guidance_scale,
            height=height,
            width=width,
            batch_size=batch_size,
            seed=seed,
            deploy=cast("Deploy | None", deploy),  # what it may be is checked there
            like=like,
        )
    paths, best = front.save(out), front.recommended
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/quick/1",
                "recommended": None
                if best is None
                else {"file": str(out / f"{best.name}.json"), "words": front.recommendation},
                "schedules": [
                    {
                        "file": str(path),
                        "mac_speedup": point.speedup,
                        "gmacs": point.schedule.gmacs,
                        "predicted_error": point.predicted_error,
                        "reward": None if point.checked is None else point.checked.reward,
                        "reward_difference": None if point.checked is None else point.checked.difference.mean,
                    }
                    for path, point in zip(paths, front, strict=True)
                ],
            }
        )
        return
    print_table(results(), _table(front))
    if best is not None:
        say(results(), f"* Recommended: {front.recommendation}.", style="bold")
    said = (
        "Error: what is expected by how outputs moved in the uncached run, the summed square of what the transformer's "
        "output misses, relative to it. It tells schedules of this front apart; how they look is not known yet"
    )
    scored = f", but of those with a {front.reward} to the uncached images" if check else "; see with --check N"
    say(results(), f"{said}{scored}.")
    say(results(), f"Written: {len(paths)} schedule{'s' * (len(paths) > 1)} to {out}", keep=[out])
    if len(paths) == 1:
        command = f"ecad-automl evaluate --model {model} --schedule {paths[0]}"
        say(results(), f"Score it on other prompts, beside the uncached run: {command}", keep=[command])


def _table(front: QuickFront) -> Table:
    table = new_table()
    table.add_column("schedule", overflow="fold", min_width=8)
    for name in ("fewer MACs", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it does", overflow="fold", min_width=12)
    checked = any(point.checked is not None for point in front)
    if checked:
        table.add_column(f"{front.reward}, to uncached", justify="right", overflow="fold", max_width=16)
    for point in front:
        scored = [] if point.checked is None else [f"{point.checked.difference.mean:+.4f}"]
        table.add_row(
            f"{point.name} *" if point is front.recommended else point.name,
            f"{point.speedup:.2f}x",
            f"{point.predicted_error:.2g}",
            point.action,
            *(scored or [""] * checked),
        )
    return table
