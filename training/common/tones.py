"""Colors of the pictures that both bundled models learn from, with a little jitter, and the pictures' size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESOLUTION", "TONES", "Color", "jittered"]

Color = tuple[float, float, float]

#: Height and width of a picture in pixels.
RESOLUTION = 64
TONES: Mapping[str, Color] = {
    "red": (0.86, 0.12, 0.14),
    "orange": (0.98, 0.55, 0.08),
    "yellow": (0.98, 0.90, 0.15),
    "green": (0.13, 0.65, 0.22),
    "blue": (0.12, 0.28, 0.86),
    "purple": (0.55, 0.16, 0.70),
    "white": (0.97, 0.97, 0.97),
    "gray": (0.55, 0.55, 0.55),
    "black": (0.06, 0.06, 0.06),
    "pink": (0.98, 0.76, 0.80),
}
_JITTER = 0.03


def jittered(color: Color, rng: np.random.Generator) -> NDArray[np.float32]:
    """A color ``(3,)`` in [0, 1] that is nearly the given one."""
    rgb = np.asarray(color) + rng.uniform(-_JITTER, _JITTER, 3)
    tone: NDArray[np.float32] = np.clip(rgb, 0.0, 1.0).astype(np.float32)
    return tone
