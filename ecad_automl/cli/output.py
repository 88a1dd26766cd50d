"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table

from ecad_automl.api.terminal import PlainConsole, say
from ecad_automl.cli.exit_codes import BROKEN_PIPE
from ecad_automl.cli.verbosity import Verbosity, current_verbosity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: More than any table has.
_ANY_WIDTH = 10_000
_LOGGER = logging.getLogger("ecad_automl.cli")


def results(*, json_output: bool = False) -> Console:
    """Where results go; with ``--json`` the document alone is a result, and this console is silent."""
    return PlainConsole(quiet=json_output)


def messages() -> Console:
    """Where progress and messages go."""
    return PlainConsole(stderr=True, quiet=current_verbosity() is Verbosity.QUIET)


@contextmanager
def step(console: Console, what: str) -> Iterator[Status]:
    """Show what is done, such as "Loading the model", while it is, and log how long it took."""
    start = time.monotonic()
    with console.status(f"{what} ...") as status:
        yield status
    _LOGGER.info("%s: %.2f s", what, time.monotonic() - start)


def new_table() -> Table:
    """A table without lines between its columns: more of them fit 80 columns, and it can be cut by column."""
    return Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)


def print_table(console: Console, table: Table) -> None:
    """Print a table, its columns closer to each other where it would not fit."""
    if table.__rich_measure__(console, console.options.update(max_width=_ANY_WIDTH)).maximum > console.width:
        table.padding, table.show_edge = 0, False
    console.print(table)


def print_paths(*paths: Path) -> None:
    """A line for each file that was written, and nothing else in it."""
    for path in paths:
        say(results(), str(path), keep=[path])


def write_images(folder: Path, images: NDArray[np.float32], names: Sequence[str]) -> None:
    """Write ``(n, h, w, 3)`` images in [0, 1] as PNG files of ``n`` names."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(names, (images.clip(0, 1) * 255).round().astype("uint8"), strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document as JSON; what is no finite number is null, and paths are as they were given."""
    from ecad_automl.files.json_file import json_text

    sys.stdout.write(json_text(_plain(document)))
    sys.stdout.flush()


def leave_quietly() -> NoReturn:
    """End where nobody reads the output any more; what is left of it goes nowhere.

    Raises:
        SystemExit: always.
    """
    drop_output()
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    raise SystemExit(BROKEN_PIPE)


def drop_output() -> None:
    """Have what is left of standard output go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
