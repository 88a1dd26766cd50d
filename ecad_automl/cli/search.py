"""``ecad-automl search``: the main job."""

from __future__ import annotations

import math
import shlex
from typing import Annotated, Any

import typer

from ecad_automl.api.faults import Faults
from ecad_automl.api.terminal import say
from ecad_automl.cli.estimate import show_price
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.options import Json
from ecad_automl.cli.output import messages, print_json, results
from ecad_automl.cli.search_options import Config, Preset, read_settings, with_search_options
from ecad_automl.cli.verbosity import quiet_libraries
from storage import redacted

Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Wait while another search runs on the same file, or on the same study of a server; else refuse.",
    ),
]


DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, tell what the search takes as `estimate` does, and end.")
]


def search(
    context: typer.Context,
    *,
    preset: Preset = None,
    config: Config = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    json_output: Json = False,
    **options: Any,
) -> None:
    """Search for the best schedules at every cost. The same command goes on where an earlier run stopped."""
    console, faults = messages(), Faults()
    settings = read_settings(context, preset, config, options, console, faults)
    quiet_libraries()
    from ecad_automl.api.job import announce, search_job
    from ecad_automl.api.live import outcome, run_with_status

    job = search_job(settings, console, wait=math.inf if wait else 0.0, faults=faults)
    if dry_run:
        show_price(job, json_output=json_output)
        return
    announce(job, console)
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


with_search_options(search)
