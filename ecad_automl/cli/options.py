"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Device", "Dtype", "Model", "Out", "Revision", "Storage", "Study"]

Model = Annotated[
    str,
    typer.Option(help="'shapes' (bundled), a pipeline folder, or a hub id such as PixArt-alpha/PixArt-XL-2-256x256."),
]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.")]
Dtype = Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; by default what suits the device.")]
Device = Annotated[str | None, typer.Option(help="Torch device, such as cuda:0; by default CUDA where there is one.")]
Storage = Annotated[str, typer.Option(help="Study database: sqlite:///FILE or a path.")]
Study = Annotated[str | None, typer.Option(help="Name of the study; may be left out where the file holds just one.")]
Out = Annotated[Path, typer.Option(help="Folder for what is written; made where it does not exist.")]
