"""The options of a search, which ``search`` and ``estimate`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from rich.console import Console

from ecad_automl.api.config_file import preset_options, read_search_file
from ecad_automl.api.faults import Faults
from ecad_automl.api.settings import TABLES, SearchFile
from ecad_automl.api.terminal import say
from ecad_automl.cli import completion
from ecad_automl.presets import preset_names

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
        help="Settings of a model: pixart-alpha-256, pixart-sigma-256, flux-dev-256, flux-dev-1024 (each with "
        "-paper behind it the whole experiment of ECAD's paper) or qwen-image-1024. A config file and "
        "other options override it.",
        autocompletion=completion.one_of(preset_names()),
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(help="TOML file of these options, in tables as docs/python.md says; the command line overrides it."),
]


def read_settings(
    context: typer.Context,
    preset: str | None,
    config: Path | None,
    options: Mapping[str, Any],
    console: Console,
    faults: Faults,
) -> SearchFile:
    """What the options, a config file and a preset say, the first before the others; ``faults`` notes wrong values.

    Raises:
        EcadError: there is no such preset, or the file is none.
    """
    said = {
        name: value
        for name, value in options.items()
        if (source := context.get_parameter_source(name)) is not None and source.name != "DEFAULT"
    }
    settings = SearchFile.from_options(
        {**preset_options(preset), **(read_search_file(config).options() if config else {}), **said}, faults
    )
    for origin in (config, preset and f"the preset {preset}"):
        if origin is not None:
            say(console, f"Settings are those of {origin} where nothing before it says otherwise.", keep=[origin])
    return settings


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


def with_search_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each setting of a search in the place of its last argument."""
    own = inspect.signature(command, eval_str=True)
    parameters = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters[1:1] = _options()
    command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command
