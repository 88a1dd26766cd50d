"""Draws scenes of the flow-shapes world as anti-aliased 64 x 64 pictures, with jitter in place, size and tone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecad_automl.flow_shapes.world import BACKGROUNDS, LAYOUTS, SHAPES, Group, Scene
from ecad_automl.shapes.world import COLORS, SIZES, TEXTURES
from training.common.tones import RESOLUTION, TONES, jittered

Floats = NDArray[np.float32]
Point = tuple[float, float]

_RGB = {**TONES, "mint": (0.70, 0.95, 0.80)}
_RADIUS = {"small": 7.0, "large": 11.5}
#: Width of one dark and one light stripe, and of an outline, in pixels.
_STRIPE_PERIOD = {"small": 5.6, "large": 6.5}
_OUTLINE_WIDTH = {"small": 2.4, "large": 3.0}
_STRIPE_SHARE = 0.56

#: Centers of a group's objects around the middle of the group, by their number: alone in the picture,
_ALONE: dict[str, tuple[tuple[Point, ...], ...]] = {
    "small": (
        ((0, 0),),
        ((-10, 0), (10, 0)),
        ((-11, 9), (0, -9), (11, 9)),
        ((-10, -10), (10, -10), (-10, 10), (10, 10)),
        ((-16, -16), (16, -16), (0, 0), (-16, 16), (16, 16)),
    ),
    "large": (((0, 0),), ((-14, 0), (14, 0))),
}
#: and beside another group, along the column or row of the group.
_BESIDE: dict[str, tuple[tuple[float, ...], ...]] = {
    "small": ((0,), (-10, 10), (-19, 0, 19)),
    "large": ((0,), (-14, 14)),
}
_MIDDLE = RESOLUTION / 2
_HALF_DISTANCE = 15.5
_OVERLAP_OFFSET = (5.5, 4.0)
_JITTER_ALONE = 4.0
_JITTER_GROUP = 1.0
_JITTER_OBJECT = 0.5
_JITTER_RADIUS = 0.05

#: Convex shapes of radius one as half planes ``(normal x, normal y, offset)``: y points down.
_SQUARE = ((1.0, 0.0, 0.89), (-1.0, 0.0, 0.89), (0.0, 1.0, 0.89), (0.0, -1.0, 0.89))
_TRIANGLE = ((0.874, -0.486, 0.486), (-0.874, -0.486, 0.486), (0.0, 1.0, 0.8))
_DIAMOND = tuple((0.707 * x, 0.707 * y, 0.76) for x in (-1.0, 1.0) for y in (-1.0, 1.0))
_HALF_PLANES = {"square": _SQUARE, "triangle": _TRIANGLE, "diamond": _DIAMOND}


def render(scenes: Sequence[Scene], rng: np.random.Generator) -> Floats:
    """Pictures of the scenes.

    Returns:
        ``(n, 3, 64, 64)`` float32 in [0, 1].
    """
    return np.stack([_render_one(scene, rng) for scene in scenes])


def _render_one(scene: Scene, rng: np.random.Generator) -> Floats:
    tone = _tone(BACKGROUNDS[scene.background], rng)[:, None, None]
    picture: Floats = np.tile(tone, (1, RESOLUTION, RESOLUTION))
    # What is in front is painted last.
    for group, centers in reversed(list(zip(scene.groups, _centers(scene, rng), strict=True))):
        # One tone and one size for the objects of a group: they are alike.
        color = _tone(COLORS[group.color], rng)
        radius = _RADIUS[SIZES[group.size]] * (1 + rng.uniform(-_JITTER_RADIUS, _JITTER_RADIUS))
        for x, y in centers:
            dx, dy = rng.uniform(-_JITTER_OBJECT, _JITTER_OBJECT, 2)
            _paint(picture, group, color, radius, (x + dx, y + dy))
    return picture


def _centers(scene: Scene, rng: np.random.Generator) -> list[list[Point]]:
    """Where the objects of each group are, in pixels."""
    layout = LAYOUTS[scene.layout]
    if layout == "alone":
        (group,) = scene.groups
        offsets = _ALONE[SIZES[group.size]][group.count]
        x, y = rng.uniform(-_JITTER_ALONE, _JITTER_ALONE, 2) + _MIDDLE
        return [[(x + dx, y + dy) for dx, dy in offsets]]
    if layout == "overlap":
        # The front object is at any of the four corners of the other.
        right, down = rng.choice((-1.0, 1.0), 2)
        x, y = rng.uniform(-_JITTER_GROUP, _JITTER_GROUP, 2) + _MIDDLE
        dx, dy = right * _OVERLAP_OFFSET[0], down * _OVERLAP_OFFSET[1]
        return [[(x + dx, y + dy)], [(x - dx, y - dy)]]
    centers: list[list[Point]] = []
    for group, side in zip(scene.groups, (-_HALF_DISTANCE, _HALF_DISTANCE), strict=True):
        across, along = rng.uniform(-_JITTER_GROUP, _JITTER_GROUP, 2) + _MIDDLE
        places = _BESIDE[SIZES[group.size]][group.count]
        points = [(across + side, along + place) for place in places]
        centers.append(points if layout == "horizontal" else [(y, x) for x, y in points])
    return centers


def _tone(name: str, rng: np.random.Generator) -> Floats:
    return jittered(_RGB[name], rng)


def _paint(picture: Floats, group: Group, color: Floats, radius: float, center: Point) -> None:
    """Paint one object over the part of the picture ``(3, 64, 64)`` that it can reach, in place."""
    left, top = (max(0, int(value - radius - 2)) for value in center)
    right, bottom = (min(RESOLUTION, int(value + radius + 3)) for value in center)
    ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32) + np.float32(0.5)
    covered = _coverage(group, xs - np.float32(center[0]), ys - np.float32(center[1]), radius)
    patch = picture[:, top:bottom, left:right]
    patch += covered * (color[:, None, None] - patch)


def _coverage(group: Group, x: Floats, y: Floats, radius: float) -> Floats:
    """Share of each pixel that the object covers; ``x`` and ``y`` are pixels from its center."""
    size, texture = SIZES[group.size], TEXTURES[group.texture]
    distance = _distance(SHAPES[group.shape], x, y, radius)
    if texture == "hollow":
        distance = np.maximum(distance, -distance - _OUTLINE_WIDTH[size])
    covered = np.clip(0.5 - distance, 0.0, 1.0)
    if texture == "striped":
        # Stripes run along the rows; the middle of the object is always a stripe.
        period = _STRIPE_PERIOD[size]
        from_stripe = np.abs((y / period + 0.5) % 1.0 - 0.5) * period
        covered = covered * np.clip(0.5 + period * _STRIPE_SHARE / 2 - from_stripe, 0.0, 1.0)
    painted: Floats = covered.astype(np.float32)
    return painted


def _distance(shape: str, x: Floats, y: Floats, radius: float) -> Floats:
    """Signed distance to the outline in pixels, negative inside; beyond corners a lower bound."""
    if shape == "circle":
        round_distance: Floats = np.hypot(x, y) - np.float32(radius)
        return round_distance
    planes = [nx * x + ny * y - offset * radius for nx, ny, offset in _HALF_PLANES[shape]]
    distance: Floats = np.max(planes, axis=0).astype(np.float32)
    return distance
