"""Images side by side: one row per prompt, one column per run."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.views.plots.figure import figure


def image_grid(path: Path, columns: Mapping[str, NDArray[np.float32]], prompts: Sequence[str]) -> None:
    """Draw the images of several runs of the same prompts and seeds.

    Args:
        path: the PNG file to write.
        columns: heading -> ``(n, h, w, 3)`` float in [0, 1].
        prompts: ``n`` texts for the rows.
    """
    with figure(path, 1.5 * len(columns) + 1.9, 1.5 * len(prompts) + 0.5) as drawn:
        panels = drawn.subplots(len(prompts), len(columns), squeeze=False)
        for column, (heading, images) in enumerate(columns.items()):
            panels[0, column].set_title(heading, fontsize=8)
            for row, image in enumerate(images):
                axes = panels[row, column]
                axes.imshow(np.clip(image, 0, 1), interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
        for row, prompt in enumerate(prompts):
            text = "\n".join(textwrap.wrap(prompt, 26))
            panels[row, 0].set_ylabel(text, fontsize=6, rotation=0, ha="right", va="center", labelpad=6)
