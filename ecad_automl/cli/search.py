"""``ecad-automl search``: the main job."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import (
    complete_cost,
    complete_executor,
    complete_heuristics,
    complete_preset,
    complete_reward,
)
from ecad_automl.cli.documents import SearchDocument
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.libraries import quiet_libraries
from ecad_automl.cli.options import Device, Dtype, Json, Model, Revision, Storage, Study
from ecad_automl.cli.output import messages, print_json, results, step
from ecad_automl.cli.prompts import BUNDLED, Column, Limit, Prompts, Split, choose_prompts, split_record
from ecad_automl.errors import OptionError, PromptError
from storage import shown

if TYPE_CHECKING:
    from ecad_automl.execution.settings import ExecutorName
    from studies.config import Heuristics

__all__ = ["search"]

_SHAPES_PROMPTS = 24
_METHOD = "settings without an option"
#: Options that a study keeps as they were said; all others can be seen from the search itself.
_AS_SAID = (
    *("prompts", "column", "split", "limit", "calibration_prompts"),
    *("revision", "dtype", "device", "scheduler", "constraint", "init"),
)


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
    """What a file says stands in for the defaults of the options, so that the command line overrides it."""
    if path is not None:
        from ecad_automl.api.config_file import read_search_file

        found = read_search_file(path)
        context.default_map = {**(context.default_map or {}), **found.options()}
        context.meta[_METHOD] = found.method
    return path


def _read_preset(context: typer.Context, name: str | None) -> str | None:
    """The settings of a preset, under those of a config file."""
    if name is not None:
        from ecad_automl.api.config_file import preset_options

        context.default_map = {**preset_options(name), **(context.default_map or {})}
    return name


def search(
    context: typer.Context,
    model: Model = BUNDLED,
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    prompts: Prompts = None,
    column: Column = None,
    split: Split = None,
    limit: Limit = None,
    calibration_prompts: Annotated[
        int | None, typer.Option(help="Search on so many of the prompts, drawn evenly; confirm takes the others.")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="Such as image-reward, clip=HUB-ID, 0.8*image-reward+0.2*clip, or your own module:attribute.",
            autocompletion=complete_reward,
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(help="Bound that a schedule must keep, such as 'fidelity>=-0.05'; may be given several times."),
    ] = None,
    cost: Annotated[
        str,
        typer.Option(
            help="What to minimize: gmacs, or latency as timed on this machine.", autocompletion=complete_cost
        ),
    ] = "gmacs",
    evaluations: Annotated[int, typer.Option(help="Schedules to evaluate in all, earlier runs included.")] = 150,
    population: Annotated[int, typer.Option(help="Schedules that survive a generation and breed.")] = 24,
    offspring: Annotated[int, typer.Option(help="Schedules evaluated in each generation.")] = 8,
    init: Annotated[
        list[str] | None,
        typer.Option(
            help="Start from another study (FILE.db or FILE.db#STUDY), or a schedule file or a folder of such."
        ),
    ] = None,
    init_limit: Annotated[int, typer.Option(help="With --init: schedules to take over at most.")] = 24,
    images_per_prompt: Annotated[int, typer.Option(help="Images (noise seeds) per prompt.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Images per pipeline call.")] = 8,
    latency_batch_size: Annotated[int, typer.Option(help="With --cost latency: images per timed call.")] = 1,
    latency_schedules: Annotated[int, typer.Option(help="With --cost latency: schedules that are timed first.")] = 40,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's usual count.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Guidance; by default the model's usual one.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    heuristics: Annotated[
        str,
        typer.Option(
            help="Published heuristics to evaluate first: fora, all (also TGATE, PAB, ...) or none.",
            autocompletion=complete_heuristics,
        ),
    ] = "fora",
    race: Annotated[
        bool, typer.Option(help="Stop candidates that promise little after the most telling images.")
    ] = True,
    surrogate: Annotated[bool, typer.Option(help="Let the surrogate choose candidates.")] = True,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Class of diffusers' schedulers; by default the model's own.")
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            help="Where candidates are evaluated: local (this process), processes of this machine, or ray.",
            autocompletion=complete_executor,
        ),
    ] = "local",
    workers: Annotated[int, typer.Option(help="Candidates evaluated at a time by the executor.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="Of a running Ray cluster, such as auto; by default one starts on this machine.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="With ray: GPUs of each worker; by default 1 where the search is on a GPU.")
    ] = None,
    evaluation_timeout: Annotated[
        float | None,
        typer.Option(
            help="With processes or ray: seconds that a worker may take over a candidate; one that hangs is ended."
        ),
    ] = None,
    asynchronous: Annotated[
        bool,
        typer.Option(
            "--asynchronous/--generational",
            help="With several workers: propose as results arrive, or finish each generation first, which finds the "
            "same whatever the number of workers.",
        ),
    ] = True,
    preset: Annotated[
        str | None,
        typer.Option(
            help="An experiment of ECAD's paper: pixart-alpha-256, pixart-sigma-256, flux-dev-256 or flux-dev-1024; "
            "a config file and other options override it.",
            is_eager=True,
            callback=_read_preset,
            autocompletion=complete_preset,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of these options, in tables as docs/python.md says; the command line overrides it.",
            is_eager=True,
            callback=_read_config,
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Wait while another search runs on the same file, or on the same study of a server; else refuse.",
        ),
    ] = False,
    backup_every: Annotated[
        int, typer.Option(help="Generations between two backups of the study file, FILE.backup; 0 makes none.")
    ] = 1,
    json_output: Json = False,
) -> None:
    """Search for the best schedules at every cost. The same command goes on where an earlier run stopped."""
    from ecad_automl.api.job import announcement, keep_settings
    from ecad_automl.api.live import outcome, run_with_status
    from ecad_automl.api.rewards import measured_constraints
    from ecad_automl.api.settings import MethodTable
    from ecad_automl.api.starting import known_schedules, latency_settings, noise_seeds, study_name
    from ecad_automl.execution import Execution

    method: MethodTable = context.meta.get(_METHOD, MethodTable())
    settings = method.config(
        evaluations=evaluations,
        population=population,
        offspring=offspring,
        surrogate=surrogate,
        seed=seed,
        race=race,
        heuristics=cast("Heuristics", heuristics),
        asynchronous=asynchronous,
    )
    execution = Execution(cast("ExecutorName", executor), workers, address, gpus_per_worker, evaluation_timeout)
    latency = latency_settings(cost, latency_batch_size, latency_schedules)
    if init_limit < 0:
        raise OptionError(f"The --init-limit is {init_limit}; it must not be negative.")
    seeds = noise_seeds(images_per_prompt)
    name = study or study_name(model)
    reward = reward or (BUNDLED if model == BUNDLED else "fidelity")
    found = choose_prompts(model, prompts, column, split, limit, bundled="calibration", count=_SHAPES_PROMPTS)
    chosen, aside = list(found.prompts), None
    if calibration_prompts is not None:
        from ecad_automl.prompts import split_prompts

        if prompts is None:
            raise PromptError("The bundled prompts are split already; give --calibration-prompts with --prompts.")
        parts = split_prompts(found, calibration_prompts)
        chosen, aside = list(parts.calibration.prompts), split_record(parts, prompts, column, split, limit)

    console = messages()
    for source in (config, preset and f"the preset {preset}"):
        if source is not None:
            say(console, f"Settings are those of {source} where nothing before it says otherwise.", keep=[source])
    known = known_schedules(init or [], storage, name, console)
    with step(console, "Loading the model"):
        quiet_libraries()
        from ecad_automl.models import load_model
        from ecad_automl.rewards import load_reward, maximized
        from studies import SearchJob

        scorer = maximized(load_reward(reward, device=device))
        constraints = measured_constraints(constraint or [], device)
        loaded = load_model(model, revision=revision, dtype=dtype, device=device).with_scheduler(scheduler)
        loaded = loaded.with_settings(steps=steps, guidance_scale=guidance_scale, height=height, width=width)
    job = SearchJob(
        loaded,
        chosen,
        scorer,
        storage,
        name,
        seeds,
        batch_size,
        settings,
        latency,
        init=known,
        init_limit=init_limit,
        constraints=constraints,
        prompt_split=aside,
        wait=math.inf if wait else 0.0,
        backup_every=backup_every,
        execution=execution,
        reward_given=reward,
    )
    said = {name: value for name, value in context.params.items() if name in _AS_SAID and value is not None}
    job = keep_settings(job, {**said, "reward": reward})
    say(console, announcement(job), keep=[shown(storage)])
    try:
        status = run_with_status(job, console, "command")
    except KeyboardInterrupt:
        raise typer.Exit(STOPPED) from None
    if json_output:
        print_json(
            SearchDocument(
                study=name,
                storage=shown(storage),
                evaluations=status.evaluations,
                stopped=status.stopped,
                hypervolume=status.hypervolume,
                best={f"{speedup:g}": value for speedup, value in status.best.items()},
            )
        )
        return
    say(results(), outcome(status))
    command = f"ecad-automl front --storage {shlex.quote(shown(storage))}"
    say(console, f"Next: {command}", keep=[command])
