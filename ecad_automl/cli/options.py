"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.errors import PromptError

__all__ = ["Device", "Dtype", "Model", "Out", "Revision", "Storage", "Study", "read_prompts"]

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


def read_prompts(path: Path) -> list[str]:
    """The prompts of a text file, one per line; blank lines and lines that start with # are skipped.

    Raises:
        PromptError: the file cannot be read as text, or holds no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PromptError(
            f"The prompt file {path} cannot be read ({reason}); give a text file, a prompt per line."
        ) from error
    prompts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not prompts:
        raise PromptError(f"The prompt file {path} holds no prompt; write one per line.")
    return prompts
