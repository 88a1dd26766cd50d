"""The bundled models by name: where their weights are, and which captions and reward are theirs. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecad_automl import shapes
from ecad_automl.shapes import world as shapes_world


@dataclass(frozen=True)
class BundledModel:
    """A model that comes with the package.

    Args:
        weights: folder that diffusers' ``from_pretrained`` loads.
        prompts: from a split ("train", "calibration" or "held-out") and a number to so many distinct captions; the
            first ones do not depend on the number.
        reward: name of the reward that searches of it use by default.
    """

    weights: Path
    prompts: Callable[[shapes_world.Split, int], list[str]]
    reward: str


BUNDLED = {"shapes": BundledModel(shapes.WEIGHTS, shapes_world.prompts, "shapes")}
