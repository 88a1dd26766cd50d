"""``ecad-automl search``: the main job."""

from __future__ import annotations

import inspect
import math
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from ecad_automl.api.config_file import preset_options, read_search_file
from ecad_automl.api.settings import TABLES, SearchFile
from ecad_automl.api.terminal import say
from ecad_automl.cli import completion
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import messages, print_json, results
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.presets import preset_names
from storage import redacted

_COMPLETED: dict[str, Callable[..., list[str]]] = {
    "model": completion.complete_model,
    "prompts": completion.complete_prompts,
    "reward": completion.complete_reward,
    "study": completion.complete_study,
}
#: Headings of the options in ``--help``, by the table of their settings.
_HEADINGS = {
    "model": "Model",
    "prompts": "Prompts",
    "reward": "Reward and cost",
    "search": "Study, budget and method",
    "execution": "Where candidates are evaluated",
}
#: Options that are not called as their setting is.
_NAMES = {"asynchronous": ("--asynchronous/--generational",)}

Preset = Annotated[
    str | None,
    typer.Option(
        help="An experiment of ECAD's paper: pixart-alpha-256, pixart-sigma-256, flux-dev-256 or flux-dev-1024; a "
        "config file and other options override it.",
        autocompletion=completion.one_of(preset_names()),
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="TOML file of these options, in tables as docs/python.md says; the command line overrides it."),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Wait while another search runs on the same file, or on the same study of a server; else refuse.",
    ),
]


def search(
    context: typer.Context,
    *,
    preset: Preset = None,
    config: Config = None,
    wait: Wait = False,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Search for the best schedules at every cost. The same command goes on where an earlier run stopped."""
    said = {
        name: value
        for name, value in options.items()
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    }
    settings = SearchFile.from_options(
        {**preset_options(preset), **(read_search_file(config).options() if config else {}), **said}
    )
    console = messages()
    for origin in (config, preset and f"the preset {preset}"):
        if origin is not None:
            say(console, f"Settings are those of {origin} where nothing before it says otherwise.", keep=[origin])
    quiet_libraries()
    from ecad_automl.api.job import announcement, search_job
    from ecad_automl.api.live import outcome, run_with_status

    job = search_job(settings, console, wait=math.inf if wait else 0.0)
    say(console, announcement(job), keep=[redacted(job.storage)])
    try:
        status = run_with_status(job, console, "command")
    except KeyboardInterrupt:
        raise typer.Exit(STOPPED) from None
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/search/1",
                "study": job.study,
                "storage": redacted(job.storage),
                "evaluations": status.evaluations,
                "stopped": status.stopped,
                "hypervolume": status.hypervolume,
                "best": {f"{speedup:g}": value for speedup, value in status.best.items()},
            }
        )
        return
    say(results(), outcome(status))
    command = f"ecad-automl front --storage {shlex.quote(redacted(job.storage))}"
    say(console, f"Next: {command}", keep=[command])


def _options() -> Iterator[inspect.Parameter]:
    """An option for each setting that is not one of the method alone."""
    for table, settings in TABLES.items():
        for name, setting in settings.model_fields.items() if table != "method" else ():
            kind = _not_none(setting.annotation)
            # What a value may be is checked with the settings, in their words.
            named = get_origin(kind) is Literal
            completed = completion.one_of(get_args(kind)) if named else _COMPLETED.get(name)
            option = typer.Option(
                *_NAMES.get(name, ()),
                help=setting.description,
                autocompletion=completed,
                rich_help_panel=_HEADINGS[table],
            )
            plain = str if named else kind
            wanted = plain if setting.default is not None else plain | None
            yield inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=setting.default, annotation=Annotated[wanted, option]
            )


def _not_none(kind: Any) -> Any:
    """The type without None."""
    others = [each for each in get_args(kind) if each is not NoneType]
    return others[0] if NoneType in get_args(kind) else kind


_own = inspect.signature(search, eval_str=True)
_parameters = [each for each in _own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
_parameters[1:1] = _options()
search.__signature__ = _own.replace(parameters=_parameters)  # type: ignore[attr-defined]
search.__annotations__ = {each.name: each.annotation for each in _parameters}
