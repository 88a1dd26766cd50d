"""Draws scenes of the shapes world as anti-aliased 64 x 64 pictures, with a little jitter in place, size and tone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecad_automl.shapes.world import (
    BACKGROUNDS,
    COLORS,
    LAYOUTS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    SceneObject,
    random_object,
)
from training.common.tones import RESOLUTION, TONES, jittered

__all__ = ["render", "scatter"]

Floats = NDArray[np.float32]

_RGB = {**TONES, "teal": (0.10, 0.50, 0.50)}
_RADIUS = {"small": 8.0, "large": 13.0}
_CENTERS = {
    "left": ((17.0, 32.0),),
    "right": ((47.0, 32.0),),
    "top": ((32.0, 17.0),),
    "bottom": ((32.0, 47.0),),
    "center": ((32.0, 32.0),),
    "horizontal": ((17.0, 32.0), (47.0, 32.0)),
    "vertical": ((32.0, 17.0), (32.0, 47.0)),
}
_JITTER_PIXELS = 2.0
_JITTER_RADIUS = 0.8
_STRIPE_PERIOD = 6.0
_OUTLINE_WIDTH = 3.0


def render(scenes: Sequence[Scene], rng: np.random.Generator) -> Floats:
    """Pictures of the scenes.

    Returns:
        ``(n, 3, 64, 64)`` float32 in [0, 1].
    """
    return np.stack([_render_one(scene, rng) for scene in scenes])


def scatter(count: int, objects: int, rng: np.random.Generator) -> Floats:
    """Pictures crowded with random objects anywhere: no scene of the world, but denser in what an autoencoder learns.

    Returns:
        ``(count, 3, 64, 64)`` float32 in [0, 1].
    """
    return np.stack([_scatter_one(objects, rng) for _ in range(count)])


def _scatter_one(objects: int, rng: np.random.Generator) -> Floats:
    picture = _ground(BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))], rng)
    for _ in range(objects):
        x, y = rng.uniform(0, RESOLUTION, 2)
        _paint(picture, random_object(rng), x, y, rng)
    return picture


def _render_one(scene: Scene, rng: np.random.Generator) -> Floats:
    picture = _ground(BACKGROUNDS[scene.background], rng)
    for thing, (x, y) in zip(scene.objects, _CENTERS[LAYOUTS[scene.layout]], strict=True):
        dx, dy = rng.uniform(-_JITTER_PIXELS, _JITTER_PIXELS, 2)
        _paint(picture, thing, x + dx, y + dy, rng)
    return picture


def _ground(background: str, rng: np.random.Generator) -> Floats:
    tone = _tone(background, rng)[:, None, None]
    ground: Floats = np.tile(tone, (1, RESOLUTION, RESOLUTION))
    return ground


def _paint(picture: Floats, thing: SceneObject, x: float, y: float, rng: np.random.Generator) -> None:
    """Paint one object over the picture, in place."""
    ys, xs = np.mgrid[0:RESOLUTION, 0:RESOLUTION].astype(np.float32) + 0.5
    coverage = _coverage(thing, xs - np.float32(x), ys - np.float32(y), rng)
    picture += coverage * (_tone(COLORS[thing.color], rng)[:, None, None] - picture)


def _tone(name: str, rng: np.random.Generator) -> Floats:
    return jittered(_RGB[name], rng)


def _coverage(thing: SceneObject, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Share of each pixel that the object covers, from its signed distance (pixels, negative inside)."""
    radius = _RADIUS[SIZES[thing.size]] + rng.uniform(-_JITTER_RADIUS, _JITTER_RADIUS)
    distance = _signed_distance(SHAPES[thing.shape], x, y, radius)
    texture = TEXTURES[thing.texture]
    if texture == "hollow":
        distance = np.maximum(distance, -distance - _OUTLINE_WIDTH)
    coverage = np.clip(0.5 - distance, 0.0, 1.0)
    if texture == "striped":
        # Stripes run along the rows; the middle of the object is always a stripe.
        wave = np.abs((y / _STRIPE_PERIOD + 0.5) % 1.0 - 0.5) * _STRIPE_PERIOD
        coverage = coverage * np.clip(0.5 + _STRIPE_PERIOD * 0.28 - wave, 0.0, 1.0)
    painted: Floats = coverage.astype(np.float32)
    return painted


def _signed_distance(shape: str, x: Floats, y: Floats, radius: float) -> Floats:
    size = np.float32(radius)
    distance: Floats
    if shape == "circle":
        distance = np.hypot(x, y) - size
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - np.float32(0.89) * size
    elif shape == "triangle":
        # Upright: the apex one radius above the center, the base two radii wide at 0.8 radii below it.
        side = np.float32(0.874) * np.abs(x) - np.float32(0.486) * (y + size)
        distance = np.maximum(side, y - np.float32(0.8) * size)
    else:
        arm = np.float32(0.36) * size
        lying = np.maximum(np.abs(x) - size, np.abs(y) - arm)
        standing = np.maximum(np.abs(y) - size, np.abs(x) - arm)
        distance = np.minimum(lying, standing)
    return distance
