"""The bundled models by name: their weights, how they are called, their captions and reward. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecad_automl import flow_shapes, shapes
from ecad_automl.flow_shapes import world as flow_shapes_world
from ecad_automl.shapes import world as shapes_world


@dataclass(frozen=True)
class BundledModel:
    """A model that comes with the package.

    Args:
        weights: folder that diffusers' ``from_pretrained`` loads.
        prompts: from a split ("train", "calibration" or "held-out") and a number to so many distinct captions; the
            first ones do not depend on the number.
        reward: name of the reward that searches of it use by default.
        steps: denoising steps.
        guidance_scale: classifier-free or distilled guidance.
        extra: further arguments of the pipeline's call.
        size: height and width of its pictures in pixels.
        tokens: of its longest caption.
    """

    weights: Path
    prompts: Callable[[shapes_world.Split, int], list[str]]
    reward: str
    steps: int
    guidance_scale: float
    extra: Mapping[str, Any] = field(default_factory=dict)
    size: int = 64
    tokens: int = 20


BUNDLED = {
    "shapes": BundledModel(
        shapes.WEIGHTS,
        shapes_world.prompts,
        "shapes-fidelity",
        steps=20,
        guidance_scale=3.0,
        extra={"clean_caption": False, "use_resolution_binning": False},
    ),
    "flow-shapes": BundledModel(
        flow_shapes.WEIGHTS, flow_shapes_world.prompts, "flow-shapes-fidelity", steps=28, guidance_scale=3.0
    ),
}


def bundled_name(folder: str | Path) -> str | None:
    """The name of the bundled model whose weights a folder holds; None for any other."""
    return next((name for name, model in BUNDLED.items() if model.weights == Path(folder)), None)
