"""Puts the commands together, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import sys

import typer

from ecad_automl.allocator import keep_freed_memory
from ecad_automl.cli.bench import bench
from ecad_automl.cli.confirm import confirm
from ecad_automl.cli.convert import convert
from ecad_automl.cli.dashboard import dashboard
from ecad_automl.cli.describe import describe
from ecad_automl.cli.evaluate import evaluate
from ecad_automl.cli.export import export
from ecad_automl.cli.front import front
from ecad_automl.cli.generate import generate
from ecad_automl.cli.plot import plot
from ecad_automl.cli.report import report
from ecad_automl.cli.search import search
from ecad_automl.errors import EcadError

__all__ = ["app", "main"]

#: Exit codes: bad input, and stopped by Ctrl-C (128 + SIGINT, as shells have it).
BAD_INPUT = 2
STOPPED = 130

app = typer.Typer(
    name="ecad-automl",
    help="Search for caching schedules that make diffusion transformers fast.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (search, front, confirm, export, evaluate, generate, bench, describe, plot, report, convert, dashboard):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    keep_freed_memory()
    try:
        app()
    except EcadError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(STOPPED)
