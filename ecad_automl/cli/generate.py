"""``ecad-automl generate``: images with and without a schedule, side by side, with times."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ecad_automl.api.faults import Faults
from ecad_automl.api.prompts import read_named
from ecad_automl.api.settings import DEFAULT_MODEL
from ecad_automl.api.terminal import say
from ecad_automl.bundled import BUNDLED
from ecad_automl.cli.completion import complete_schedule
from ecad_automl.cli.options import BatchSize, Device, Dtype, Json, Model, Offloaded, Out, Prompts, Revision, Seed
from ecad_automl.cli.output import messages, print_json, print_paths, results, step, write_images
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.errors import OptionError, PromptError

_SHAPES_PROMPTS = 4
_UNCACHED = "uncached"


def generate(
    schedule: Annotated[list[Path], typer.Argument(help="Schedule files.", autocompletion=complete_schedule)],
    model: Model = DEFAULT_MODEL,
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt; may be given several times.")] = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    batch_size: BatchSize = 8,
    out: Out = Path("images"),
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Generate each prompt uncached and under each schedule; write the images and a picture of all side by side."""
    from ecad_automl.schedules.schedule_file import load_schedule

    faults = Faults()
    faults.model(model, dtype=dtype, device=device, offload=offload)
    faults.folder(out)
    texts, files = list(prompt or []), []
    for path in schedule:
        with faults.noted():
            files.append(load_schedule(path))
    with faults.noted():
        texts += list(read_named(messages(), prompts).prompts) if prompts else []
        if not texts and model not in BUNDLED:
            raise PromptError("There is no prompt; give one with --prompt, or several with --prompts.")
    faults.tell()
    texts = texts or BUNDLED[model].prompts("held-out", _SHAPES_PROMPTS)
    runs = {_UNCACHED: None, **{path.stem: file.schedule for path, file in zip(schedule, files, strict=True)}}
    if len(runs) <= len(files):
        raise OptionError(
            f"The schedule files {', '.join(map(str, schedule))} must have names of their own, other than "
            f"{_UNCACHED!r}: images are written to folders of these names; rename one."
        )

    console, shown = messages(), results(json_output=json_output)
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.judging.evaluation import Evaluator
        from ecad_automl.judging.threads import enough_threads
        from ecad_automl.latency.turns import time_in_turn
        from ecad_automl.models import load_model
        from ecad_automl.rewards import load_reward

        loaded = load_model(model, revision=revision, dtype=dtype, device=device, offload=offload)
        meta = files[0].metadata
        loaded = loaded.with_settings(
            steps=files[0].uncached_steps, guidance_scale=meta.guidance_scale, height=meta.height, width=meta.width
        )
        evaluator = Evaluator(
            loaded.pipe,
            texts,
            [seed],
            load_reward("fidelity"),
            loaded.settings,
            batch_size=batch_size,
            share_bytes=0,  # runs are timed, so each does all of its steps
        )
    made: dict[str, NDArray[np.float32]] = {}
    once: dict[str, float] = {}
    threads = enough_threads(evaluator, files[0].schedule.layout.step_macs, console.print)
    with threads, step(console, "Generating") as status:
        for name, chosen in runs.items():
            status.update(f"Generating: {name} ...")
            start = time.perf_counter()
            images = evaluator.generate(chosen)
            once[name] = time.perf_counter() - start
            made[name] = images.permute(0, 2, 3, 1).numpy()
            write_images(out / name, made[name], [f"{number:03}" for number in range(len(texts))])
        status.update("Timing, in turn ...")
        times = time_in_turn(list(runs), lambda name: evaluator.generate(runs[name]), once)
    columns: dict[str, NDArray[np.float32]] = {}
    about: list[dict[str, Any]] = []
    for name, chosen in runs.items():
        macs = 1.0 if chosen is None else 1.0 / chosen.mac_fraction_of(loaded.settings.steps)
        found = times[name]
        figures = {"images": len(texts), "mac_speedup": macs, **found.to_dict()}
        about.append({"name": name, **figures, "folder": out / name})
        savings = [] if chosen is None else [f"{macs:.2f}x fewer MACs", *filter(None, [found.speedup_told])]
        say(shown, ", ".join([f"{name}: {len(texts)} images in {found.told}", *savings]), keep=[name])
        heading = "\n".join(savings).replace(" (", "\n(") or name
        columns[f"{name}\n{heading}" if heading in columns else heading] = made[name]
    from ecad_automl.views.plots import image_grid

    grid = out / "side-by-side.png"
    image_grid(grid, columns, texts)
    if json_output:
        document = {"prompts": texts, "seed": seed, "runs": about, "side_by_side": grid}
        print_json({"schema": "ecad-automl/generation/1", **document})
    else:
        print_paths(grid)
