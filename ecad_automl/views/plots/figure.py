"""What all plots share: a figure that is written whole or not at all, and the colors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ecad_automl.errors import FileError
from ecad_automl.views.cells import CELLS, COMPUTED, REUSED

#: Colors that stay apart for color-blind readers (Okabe and Ito, 2008).
COLORS = {
    "search": "#0072B2",
    "candidate": "#B8CFE0",
    "heuristic": "#E69F00",
    "steps": "#009E73",
    "uncached": "#000000",
    "beaten": "#D55E00",
    "compute": CELLS[COMPUTED].color,
    "reuse": CELLS[REUSED].color,
}


@contextmanager
def figure(path: Path | None, width: float, height: float) -> Iterator[Any]:
    """A matplotlib figure of a size in inches, saved to ``path`` as PNG, if there is one, when the block ends well.

    Notebooks show it as what a cell gives back.

    Raises:
        FileError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ecad_automl.views.plots._shown import ShownFigure

    drawn = ShownFigure(figsize=(width, height), layout="constrained", dpi=150)
    FigureCanvasAgg(drawn)
    yield drawn
    if path is None:
        return
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(partial, format="png")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise FileError(f"The picture {path} cannot be written ({error.strerror}); choose another place.") from error
