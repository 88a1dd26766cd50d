"""``ecad-automl estimate``: what a search takes, before it begins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import typer

from ecad_automl.api.faults import Faults
from ecad_automl.api.terminal import say
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import messages, new_table, print_json, print_table, results, step
from ecad_automl.cli.search_options import Config, Preset, read_settings, with_search_options
from ecad_automl.cli.verbosity import quiet_libraries

if TYPE_CHECKING:
    from ecad_automl.api.price import Price
    from studies import SearchJob


@with_search_options
def estimate(
    context: typer.Context,
    *,
    preset: Preset = None,
    config: Config = None,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Tell what a search with the same options takes: images, hours, memory, and what smaller budgets take.

    Two calls of the pipeline are timed; nothing is written. `search --dry-run` does the same.
    """
    console, faults = messages(), Faults()
    settings = read_settings(context, preset, config, options, console, faults)
    quiet_libraries()
    from ecad_automl.api.job import search_job

    show_price(search_job(settings, console, wait=math.inf, faults=faults), json_output=json_output)


def show_price(job: SearchJob, *, json_output: bool) -> None:
    """Time two calls, and print what follows."""
    from ecad_automl.api.price import price_of

    with step(messages(), "Timing two calls"):
        price = price_of(job)
    if json_output:
        print_json({"schema": "ecad-automl/estimate/1", **price.to_dict()})
    else:
        _print(price)


def _print(price: Price) -> None:
    from ecad_automl.api.price import duration

    console, table = results(), new_table()
    say(console, price.line, style="bold")
    say(console, price.memory)
    for heading in ("evaluations", "images", "about"):
        table.add_column(heading, justify="right")
    for evaluations, images, seconds in price.budgets:
        table.add_row(f"{evaluations}", f"{images:,}", "-" if seconds is None else duration(seconds))
    print_table(console, table)
    say(
        console,
        "The last row is the budget asked for. The first 25 to 30 evaluations are schedules of least expected error, "
        "which `quick` writes without trying them; on `shapes` 50 to 100 found nearly all that more found "
        "(docs/searching.md). Scoring comes to this where the reward is a large model.",
        style="dim",
    )
