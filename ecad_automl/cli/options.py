"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.api.settings import DTYPES, OFFLOADS, help_of
from ecad_automl.cli.completion import complete_model, complete_prompts, complete_study, one_of
from ecad_automl.engines import ENGINES

Model = Annotated[str, typer.Option(help=help_of("model"), autocompletion=complete_model)]
Moved = Annotated[
    str | None,
    typer.Option(help="Where the study's model lies now, if it was moved.", autocompletion=complete_model),
]
Revision = Annotated[str | None, typer.Option(help=help_of("revision"))]
Engine = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="ENGINE",
        help=f"Write what another engine takes for whole steps: {', '.join(ENGINES)}.",
        autocompletion=one_of(ENGINES),
        rich_help_panel="Other engines",
    ),
]
Dtype = Annotated[str | None, typer.Option(help=help_of("dtype"), autocompletion=one_of(DTYPES))]
Device = Annotated[str | None, typer.Option(help=help_of("device"))]
Offloaded = Annotated[str | None, typer.Option("--offload", help=help_of("offload"), autocompletion=one_of(OFFLOADS))]
Prompts = Annotated[str | None, typer.Option(help=help_of("prompts"), autocompletion=complete_prompts)]
Column = Annotated[str | None, typer.Option(help=help_of("column"))]
Split = Annotated[str | None, typer.Option(help=help_of("split"))]
Limit = Annotated[int | None, typer.Option(help=help_of("limit"))]
Scheduler = Annotated[str | None, typer.Option(help=help_of("scheduler"))]
Steps = Annotated[int | None, typer.Option(help=help_of("steps"))]
GuidanceScale = Annotated[float | None, typer.Option(help=help_of("guidance_scale"))]
Height = Annotated[int | None, typer.Option(help=help_of("height"))]
Width = Annotated[int | None, typer.Option(help=help_of("width"))]
BatchSize = Annotated[int, typer.Option(help="Images per pipeline call.")]
Seed = Annotated[int, typer.Option(help="Seed of the noise.")]
Storage = Annotated[str, typer.Option(help=help_of("storage"))]
Study = Annotated[str | None, typer.Option(help=help_of("study"), autocompletion=complete_study)]
Out = Annotated[Path, typer.Option(help="Folder for what is written; made where it does not exist.")]
SameSteps = Annotated[
    bool, typer.Option("--same-steps", help="Leave out runs of other numbers of steps than the study's own.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
