"""The procedural world that the bundled model draws: scenes, their captions and the prompt splits.

A scene is a plain background with one object at a named position, or two objects side by side or one above the
other. Every attribute of a scene stands in its caption, and every caption names exactly one scene, so that a picture
can be judged attribute by attribute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ecad_automl.errors import PromptError

SIZES = ("small", "large")
TEXTURES = ("solid", "striped", "hollow")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("circle", "square", "triangle", "cross")
BACKGROUNDS = ("white", "gray", "black", "pink", "teal")
POSITIONS = ("left", "right", "top", "bottom", "center")
#: Where the objects are: one object at a position, or a pair along an axis.
LAYOUTS = (*POSITIONS, "horizontal", "vertical")

#: (caption relation) -> (layout, whether the object named first is the left or upper one).
RELATIONS = {
    "left of": ("horizontal", True),
    "right of": ("horizontal", False),
    "above": ("vertical", True),
    "below": ("vertical", False),
}

#: The attributes of a scene in the order of :meth:`Scene.attributes`, each with its possible values.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "background": BACKGROUNDS,
    "layout": LAYOUTS,
    **{
        f"{place} {name}": values
        for place in ("first", "second")
        for name, values in (("size", SIZES), ("texture", TEXTURES), ("color", COLORS), ("shape", SHAPES))
    },
}

Split = Literal["train", "calibration", "held-out"]


def split_of(caption: str) -> Split:
    """The split of a scene with that caption, by a hash of it: 90 % train, 5 % and 5 % the others."""
    bucket = int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=8).digest(), "big") % 20
    return "calibration" if bucket == 0 else "held-out" if bucket == 1 else "train"


def distinct_captions(draw: Callable[[np.random.Generator], str], split: Split, count: int, seed: int) -> list[str]:
    """So many captions, drawn until they are distinct; the first ones do not depend on how many."""
    rng = np.random.default_rng([seed, get_args(Split).index(split)])
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(draw(rng))
    return list(found)


@dataclass(frozen=True)
class SceneObject:
    """One object: indices into ``SIZES``, ``TEXTURES``, ``COLORS`` and ``SHAPES``."""

    size: int
    texture: int
    color: int
    shape: int

    def phrase(self) -> str:
        """The noun phrase of a caption, such as "a large striped red circle"."""
        words = SIZES[self.size], TEXTURES[self.texture], COLORS[self.color], SHAPES[self.shape]
        return "a " + " ".join(words)


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Args:
        background: index into ``BACKGROUNDS``.
        layout: index into ``LAYOUTS``.
        objects: one object for a position, two for an axis: the left (upper) one first.
    """

    background: int
    layout: int
    objects: tuple[SceneObject, ...]

    def attributes(self) -> list[int]:
        """The value index of every attribute in ``ATTRIBUTES``; -1 where the scene has no second object."""
        values = [self.background, self.layout]
        for thing in self.objects:
            values += [thing.size, thing.texture, thing.color, thing.shape]
        return values + [-1] * (len(ATTRIBUTES) - len(values))

    def caption(self, *, first_named: int = 0) -> str:
        """The caption; for a pair, ``first_named`` chooses which object is named first (0: the left or upper)."""
        layout = LAYOUTS[self.layout]
        ground = f"on a {BACKGROUNDS[self.background]} background"
        if len(self.objects) == 1:
            return f"{self.objects[0].phrase()} at the {layout} {ground}"
        named = self.objects[first_named], self.objects[1 - first_named]
        relation = next(words for words, meaning in RELATIONS.items() if meaning == (layout, first_named == 0))
        return f"{named[0].phrase()} {relation} {named[1].phrase()} {ground}"

    def split(self) -> Split:
        """Which split the scene belongs to, fixed by a hash of what it shows: 90 % train, 5 % and 5 % the others."""
        return split_of(self.caption())


def parse_caption(caption: str) -> Scene:
    """The scene that a caption describes.

    Raises:
        PromptError: the caption is not one of this world.
    """
    try:
        body, _, ground = caption.strip().lower().partition(" on a ")
        background = BACKGROUNDS.index(ground.removesuffix(" background"))
        for words, (layout, first_named_leads) in RELATIONS.items():
            if f" {words} " in body:
                named = [_parse_object(part) for part in body.split(f" {words} ")]
                first, second = named if first_named_leads else reversed(named)
                return Scene(background, LAYOUTS.index(layout), (first, second))
        phrase, position = body.split(" at the ")
        return Scene(background, POSITIONS.index(position), (_parse_object(phrase),))
    except ValueError:
        raise PromptError(
            f"The prompt {caption!r} is not a caption of the shapes world; it must read like "
            "'a large striped red circle left of a small solid blue square on a white background' or "
            "'a small hollow green cross at the top on a gray background'."
        ) from None


def _parse_object(phrase: str) -> SceneObject:
    article, size, texture, color, shape = phrase.split(" ")
    if article != "a":
        raise ValueError(phrase)
    return SceneObject(SIZES.index(size), TEXTURES.index(texture), COLORS.index(color), SHAPES.index(shape))


def random_scene(rng: np.random.Generator, split: Split | None = None, *, single_share: float = 0.3) -> Scene:
    """A scene drawn evenly over attributes; two objects never agree in both color and shape.

    Args:
        rng: source of randomness.
        split: draw until the scene is of this split; None takes any.
        single_share: probability of a scene with one object.
    """
    while True:
        single = rng.random() < single_share
        layout = int(rng.integers(len(POSITIONS))) if single else int(rng.integers(len(POSITIONS), len(LAYOUTS)))
        objects = tuple(random_object(rng) for _ in range(1 if single else 2))
        scene = Scene(int(rng.integers(len(BACKGROUNDS))), layout, objects)
        alike = not single and objects[0].color == objects[1].color and objects[0].shape == objects[1].shape
        if not alike and (split is None or scene.split() == split):
            return scene


def random_object(rng: np.random.Generator) -> SceneObject:
    """An object drawn evenly over its attributes."""
    size, texture, color, shape = (int(rng.integers(len(v))) for v in (SIZES, TEXTURES, COLORS, SHAPES))
    return SceneObject(size, texture, color, shape)


def random_caption(rng: np.random.Generator, scene: Scene) -> str:
    """One of the scene's captions."""
    return scene.caption(first_named=int(rng.integers(len(scene.objects))))


def prompts(split: Split, count: int, seed: int = 0) -> list[str]:
    """``count`` distinct captions of a split, the same for the same seed; the first ones do not depend on ``count``."""
    return distinct_captions(lambda rng: random_caption(rng, random_scene(rng, split)), split, count, seed)


def vocabulary() -> list[str]:
    """Every word of every caption, sorted."""
    words = {"a", "on", "background", "at", "the"}
    for values in (SIZES, TEXTURES, COLORS, SHAPES, BACKGROUNDS, POSITIONS):
        words.update(values)
    for relation in RELATIONS:
        words.update(relation.split())
    return sorted(words)
