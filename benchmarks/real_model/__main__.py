"""A whole experiment on a real model, for whoever has a GPU and the hub: one command, one table beside ECAD's rows.

It tells what the search takes and stops where that is more hours than were given; it searches, confirms the front on
prompts or noises that the search never saw, scores it beside fewer steps and FORA by ImageReward, CLIP and FID on
prompt sets, times it, and carries its schedules to another resolution and to a sibling model. Every part is a command
of ``ecad-automl``, which is told before it runs and may be run by hand; each goes on where it was stopped, image by
image, and so does the script. Small checkpoints of random weights in the hub's own layout have been through all of it;
real ones not yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.machine import machine
from benchmarks.real_model.contestants import Target, carry, write_contestants
from benchmarks.real_model.stages import StageError, Stages
from benchmarks.real_model.table import table
from ecad_automl.api.config_file import read_search_file
from ecad_automl.errors import EcadError
from ecad_automl.hub import schedule_paths
from ecad_automl.presets import preset_path

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False)

#: Where schedules of a preset are carried to, unless somebody says: another resolution, and a sibling model.
_CARRIED = {
    "pixart-alpha-256": ("PixArt-alpha/PixArt-XL-2-1024-MS@1024", "PixArt-alpha/PixArt-Sigma-XL-2-256x256@256"),
    "pixart-sigma-256": ("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS@1024", "PixArt-alpha/PixArt-XL-2-256x256@256"),
    "flux-dev-256": ("black-forest-labs/FLUX.1-dev@1024", "black-forest-labs/FLUX.1-Krea-dev@256"),
    "flux-dev-1024": ("black-forest-labs/FLUX.1-dev@256", "black-forest-labs/FLUX.1-Krea-dev@1024"),
    "qwen-image-1024": ("Qwen/Qwen-Image@512", "Qwen/Qwen-Image-2512@1024"),
}


@app.command()
def main(
    preset: Annotated[str, typer.Argument(help="Such as pixart-alpha-256; see ecad-automl search --preset.")],
    hours: Annotated[float, typer.Option(help="Search only where no more are expected.")] = 24.0,
    work: Annotated[Path, typer.Option(help="Folder of all that is made, in one by the preset.")] = Path(
        "runs/real_model"
    ),
    config: Annotated[
        Path | None, typer.Option(help="TOML file of options of search that override the preset.")
    ] = None,
    unseen: Annotated[str | None, typer.Option(help="Prompts to confirm on; by default other noises.")] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(help="Prompts to score on: coco=captions_val2014.json, mjhq=FILE, parti=FILE."),
    ] = None,
    fid_reference: Annotated[list[str] | None, typer.Option(help="Real images of such a set: coco=FOLDER.")] = None,
    limit: Annotated[int, typer.Option(help="Prompts of each set.")] = 1000,
    metrics: Annotated[str, typer.Option(help="As for ecad-automl evaluate.")] = "image-reward,clip,fid",
    carry_to: Annotated[
        list[str] | None, typer.Option(help="Models that schedules are carried to, MODEL@SIDE.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Rounds in which all is timed.")] = 10,
    device: Annotated[str | None, typer.Option(help="Torch device; by default CUDA where there is one.")] = None,
) -> None:
    """Run what is not done yet of a whole experiment, and write its table."""
    try:
        options = read_search_file(preset_path(preset)).options()
        options |= {} if config is None else read_search_file(config).options()
        targets = [Target.read(text) for text in (_CARRIED.get(preset, ()) if carry_to is None else carry_to)]
        references = dict(each.split("=", 1) for each in fid_reference or ())
    except (EcadError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    folder = work / preset
    sets = Sets(str(options["prompts"]), unseen, tuple(on or ()), references, limit, metrics)
    given = ["--preset", preset, *([] if config is None else ["--config", str(config)])]
    try:
        found = _experiment(Stages(folder), folder, given, options, sets, targets, hours, repeats, device)
    except StageError as error:
        Console(stderr=True).print(str(error), highlight=False)
        raise typer.Exit(2) from None
    (folder / "result.json").write_text(json.dumps({"preset": preset, "machine": machine(), **found}, indent=1) + "\n")
    lines = table(preset, found["scores"], found["times"])
    (folder / "result.md").write_text("\n".join(lines) + "\n")
    Console().print("\n".join(lines), highlight=False)


@dataclass(frozen=True)
class Sets:
    """What schedules are judged on, all as for the commands.

    Args:
        searched: prompts of the search.
        unseen: prompts to confirm on, and to score what was carried; those of the search if None.
        on: prompts to score on; those of the search if there are none.
        references: by name of such a set, its real images.
        limit: prompts of each.
        metrics: of the scores.
    """

    searched: str
    unseen: str | None
    on: tuple[str, ...]
    references: Mapping[str, str]
    limit: int
    metrics: str


def _experiment(
    stages: Stages,
    folder: Path,
    given: Sequence[str],
    options: Mapping[str, Any],
    sets: Sets,
    targets: Sequence[Target],
    hours: float,
    repeats: int,
    device: str | None,
) -> dict[str, Any]:
    """The price, scores by prompt set or model, and times."""
    where = [] if device is None else ["--device", device]
    study = ["--storage", str(folder / "study.db")]
    price = stages.run("price", ["estimate", *given, *study, *where, "--json"])
    expected = price["seconds"] / 3600
    if expected > hours:
        raise StageError(
            f"The search is expected to take {expected:.1f} hours, and --hours is {hours:g}; give more, or a smaller "
            "budget in --config."
        )
    stages.run("search", ["search", *given, *study, *where])
    others = [] if sets.unseen is None else ["--prompts", sets.unseen, "--limit", str(sets.limit)]
    stages.run("confirm", ["confirm", *study, *others, "--reward", str(options["reward"]), *where])
    stages.run("export", ["export", *study, "--front", "--out", str(folder / "front")])
    names = write_contestants(schedule_paths(folder / "front"), folder / "schedules")
    files = [folder / "schedules" / f"{name}.json" for name in names]
    dtype, revision = (
        [] if options.get(name) is None else [f"--{name}", str(options[name])] for name in ("dtype", "revision")
    )
    model = ["--model", str(options["model"]), *revision]
    judged = [*dtype, *where, "--limit", str(sets.limit), "--metrics", sets.metrics, "--json"]

    def scores(name: str, of: Sequence[str], prompts: str, schedules: Path) -> dict[str, Any]:
        reference = ["--fid-reference", sets.references[name]] if name in sets.references else []
        out = ["--out", str(folder / "scores" / name)]
        on = ["--prompts", prompts, *reference, "--schedule", str(schedules)]
        return stages.run(f"scores of {name}", ["evaluate", *of, *judged, *on, *out])

    found = {}
    for prompts in sets.on or (sets.searched,):
        name = Path(prompts.partition("=")[0]).name
        found[name] = scores(name, model, prompts, folder / "schedules")
    timed = [f"--schedule={path}" for path in files]
    out = ["--repeats", str(repeats), "--no-fewer-steps", "--out", str(folder / "times"), "--json"]
    times = stages.run("times", ["bench", *model, *dtype, *where, *timed, *out])
    for target in targets:
        moved = carry(files, target, folder / "carried" / target.name)
        prompts = sets.unseen or sets.searched
        found[f"carried to {target.name}"] = scores(target.name, ["--model", target.model], prompts, moved)
    return {"price": price, "scores": found, "times": times}


if __name__ == "__main__":
    app()
