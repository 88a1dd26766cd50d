"""What the pictures of these pages share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecad_automl.views.plots.figure import COLORS

__all__ = ["COLORS", "INK", "MUTED", "drawing"]

INK = "#20262d"
MUTED = "#6b7682"

_SETTINGS = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelsize": 8,
}


@contextmanager
def drawing(path: Path, width: float, height: float, layout: str = "constrained") -> Iterator[Any]:
    """A matplotlib figure of a size in inches, written to ``path`` as PNG when the block ends well."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout=layout, dpi=160)
        FigureCanvasAgg(figure)
        yield figure
        # Without the version of matplotlib, the same picture is the same file.
        figure.savefig(path, metadata={"Software": None})
