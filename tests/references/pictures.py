"""Pictures of odd sizes and modes: scenes of the bundled renderer, waves, and noise, from fixed seeds."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ecad_automl.shapes.world import parse_caption, prompts
from training.shapes.render import render

__all__ = ["make_pictures"]


def make_pictures() -> dict[str, Image.Image]:
    """Pictures by name."""
    scenes = render([parse_caption(caption) for caption in prompts("held-out", 2)], np.random.default_rng(0))
    small = [_image(scene.transpose(1, 2, 0)) for scene in scenes]
    return {
        "scene-64x64": small[0],
        "scene-640x97": small[1].resize((640, 97), Image.Resampling.LANCZOS),
        "waves-301x217": _waves(301, 217, 1),
        "waves-97x640": _waves(97, 640, 2),
        "waves-224x224": _waves(224, 224, 3),
        "waves-225x224": _waves(225, 224, 4),
        "noise-513x511": _noise(513, 511, 5),
        "noise-31x200": _noise(31, 200, 6),
        "gray-300x200": _waves(300, 200, 7).convert("L"),
        "palette-250x333": _waves(250, 333, 8).quantize(32),
        "transparent-333x250": _transparent(333, 250, 9),
    }


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray((values.clip(0, 1) * 255).round().astype(np.uint8))


def _waves(width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / 40
    channels = []
    for a, b, phase in rng.uniform(-2, 2, (3, 3)):
        channels.append(0.5 + 0.6 * np.sin(a * x + b * y + phase))
    return _image(np.stack(channels, axis=-1))


def _noise(width: int, height: int, seed: int) -> Image.Image:
    return _image(np.random.default_rng(seed).uniform(0, 1, (height, width, 3)))


def _transparent(width: int, height: int, seed: int) -> Image.Image:
    picture = _waves(width, height, seed)
    picture.putalpha(_waves(width, height, seed + 1).convert("L"))
    return picture
