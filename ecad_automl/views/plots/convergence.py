"""Hypervolume against evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.views.plots.figure import figure

__all__ = ["plot_convergence"]


def plot_convergence(path: Path, curves: Mapping[str, NDArray[np.float64]], *, title: str) -> None:
    """Draw one line per search, with a band from its lowest to its highest seed.

    Args:
        path: the PNG file to write.
        curves: name -> ``(seeds, evaluations)`` normalized hypervolume after each evaluation.
        title: of the figure.
    """
    with figure(path, 7.0, 4.4) as drawn:
        axes = drawn.add_subplot()
        for name, values in curves.items():
            at = np.arange(1, values.shape[1] + 1)
            (line,) = axes.plot(at, np.median(values, axis=0), label=name, linewidth=1.5)
            if len(values) > 1:
                axes.fill_between(at, values.min(axis=0), values.max(axis=0), alpha=0.15, color=line.get_color())
        late = np.concatenate([values[:, values.shape[1] // 20 :].ravel() for values in curves.values()])
        axes.set_ylim(max(0.0, float(late.min()) - 0.01), float(late.max()) + 0.01)
        axes.set_xlabel("evaluated schedules")
        axes.set_ylabel("normalized hypervolume")
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        if len(curves) > 1:
            axes.legend(fontsize=8, loc="best")
