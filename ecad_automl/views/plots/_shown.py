"""A matplotlib figure that notebooks show, whether matplotlib was set up for them or not."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure without pyplot's bookkeeping, which is what elsewhere makes notebooks show one."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
