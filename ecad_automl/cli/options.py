"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.cli.completion import complete_dtype, complete_model, complete_study

__all__ = ["Device", "Dtype", "Json", "Model", "Moved", "Out", "Revision", "Storage", "Study"]

Model = Annotated[
    str,
    typer.Option(
        help="'shapes' (bundled), a pipeline folder, or a hub id such as PixArt-alpha/PixArt-XL-2-256x256.",
        autocompletion=complete_model,
    ),
]
Moved = Annotated[
    str | None,
    typer.Option(help="Where the study's model lies now, if it was moved.", autocompletion=complete_model),
]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, float16 or bfloat16; by default what suits the device.", autocompletion=complete_dtype),
]
Device = Annotated[str | None, typer.Option(help="Torch device, such as cuda:0; by default CUDA where there is one.")]
Storage = Annotated[
    str,
    typer.Option(
        help="Study database: a path, sqlite:///FILE, postgresql+psycopg://USER@HOST/DB or mysql+pymysql://USER@HOST/DB."
    ),
]
Study = Annotated[
    str | None,
    typer.Option(
        help="Name of the study; may be left out where the database holds just one.", autocompletion=complete_study
    ),
]
Out = Annotated[Path, typer.Option(help="Folder for what is written; made where it does not exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
