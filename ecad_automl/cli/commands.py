"""The commands by name. Each is imported at its first use: help of the program needs none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup

from ecad_automl.cli.option_groups import GroupedCommand
from ecad_automl.cli.verbosity import with_verbosity

#: What the list of commands says of each, in a line that is not cut. The module and its function have its name.
COMMANDS: Mapping[str, str] = {
    "search": "Search for the best schedules at every cost.",
    "estimate": "Tell what a search takes before it begins.",
    "quick": "Write a front of schedules after one uncached run.",
    "gallery": "List ready schedules for well-known models.",
    "front": "List the best schedules and what to compare with.",
    "confirm": "Score the front on prompts that were not searched.",
    "export": "Write schedules as files, or send them to the hub.",
    "evaluate": "Score schedules by metrics, beside uncached images.",
    "generate": "Generate images uncached and under schedules.",
    "bench": "Time a pipeline uncached and under schedules.",
    "describe": "Show what a schedule computes.",
    "plot": "Draw a study.",
    "report": "Write a study as one page of HTML, or as Markdown.",
    "convert": "Convert schedule files of the ECAD authors and ours.",
    "dashboard": "Open a study in optuna-dashboard.",
    "check": "Check that a study database is whole.",
}
#: What one would type, in lines of at most 76 characters.
EXAMPLES: Mapping[str, str] = {
    "search": """\
ecad-automl search --model PixArt-alpha/PixArt-XL-2-256x256 \\
  --prompts drawbench --calibration-prompts 100 --storage pixart.db""",
    "estimate": "ecad-automl estimate --preset flux-dev-256 --offload model",
    "quick": "ecad-automl quick --model shapes --out quick",
    "gallery": "ecad-automl gallery flux-dev",
    "front": "ecad-automl front --storage pixart.db",
    "confirm": "ecad-automl confirm --storage pixart.db",
    "export": "ecad-automl export --storage pixart.db --speedup 2 --out schedules",
    "evaluate": "ecad-automl evaluate --model shapes --schedule quick",
    "generate": "ecad-automl generate quick/quick-2.00x.json --prompt 'a red circle'",
    "bench": "ecad-automl bench --model shapes --schedule quick/quick-2.00x.json",
    "describe": "ecad-automl describe quick/quick-2.00x.json --png schedule.png",
    "plot": "ecad-automl plot --storage pixart.db --out plots",
    "report": "ecad-automl report --storage pixart.db --images 6 --out report.html",
    "convert": "ecad-automl convert theirs.json ours.json",
    "dashboard": "ecad-automl dashboard --storage pixart.db --images 6",
    "check": "ecad-automl check --storage pixart.db",
}


@cache
def load_command(name: str) -> GroupedCommand:
    """The command of a name, as Typer runs it."""
    function = getattr(import_module(f"ecad_automl.cli.{name}"), name)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name, cls=GroupedCommand, short_help=COMMANDS[name])(with_verbosity(function))
    command = typer.main.get_command(alone)
    assert isinstance(command, GroupedCommand)
    command.example = EXAMPLES[name]
    return command


class _Late(Mapping[str, Any]):
    """The commands, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        return load_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class CommandGroup(TyperGroup):
    """The program: its commands are imported when they are run or completed, not when they are listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast("Any", _Late())  # nothing is added to it

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of :data:`COMMANDS`."""
        del ctx
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
