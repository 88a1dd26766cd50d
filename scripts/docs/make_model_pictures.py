"""Draws what the bundled models make of held-out captions, for the page on them.

``python -m scripts.docs.make_model_pictures``: 12 captions each, uncached, as searches call the models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.bundled import BUNDLED
from ecad_automl.models import load_model
from ecad_automl.models.generation import encode_prompts, generate_batch
from training.flow_shapes.quality import grid

_CAPTIONS = 12


def main(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path(__file__).parents[2] / "docs" / "images",
) -> None:
    """Write one picture for each model."""
    for name, bundled in BUNDLED.items():
        model = load_model(name, device="cpu")
        model.pipe.set_progress_bar_config(disable=True)
        captions = bundled.prompts("held-out", _CAPTIONS)
        encoded = encode_prompts(model.pipe, captions, model.settings)
        pictures = generate_batch(model.pipe, encoded, range(len(captions)), model.settings)
        grid(pictures, captions, out / f"model-{name}.png")
        typer.echo(out / f"model-{name}.png")


if __name__ == "__main__":
    typer.run(main)
