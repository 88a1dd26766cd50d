"""The procedural world that the bundled FLUX model draws: scenes, their captions and the prompt splits.

A scene is a plain background with one group of up to five like objects, or two groups side by side, one above the
other, or one object partly in front of another. Every attribute of a scene stands in its caption, and every caption
names exactly one scene, so that a picture can be judged attribute by attribute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecad_automl.errors import PromptError
from ecad_automl.shapes.world import COLORS, SIZES, TEXTURES, Split, distinct_captions, split_of

SHAPES = ("circle", "square", "triangle", "diamond")
BACKGROUNDS = ("white", "gray", "black", "pink", "mint")
#: How many objects a group has; the article stands for one.
COUNTS = ("a", "two", "three", "four", "five")
#: Where the groups are: one in the middle of the picture, or two along an axis, or two objects that overlap.
LAYOUTS = ("alone", "horizontal", "vertical", "overlap")

#: (caption relation) -> (layout, whether the group named first is the left, upper or front one).
RELATIONS = {
    "left of": ("horizontal", True),
    "right of": ("horizontal", False),
    "above": ("vertical", True),
    "below": ("vertical", False),
    "in front of": ("overlap", True),
    "behind": ("overlap", False),
}

#: The attributes of a scene in the order of :meth:`Scene.attributes`, each with its possible values.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "background": BACKGROUNDS,
    "layout": LAYOUTS,
    **{
        f"{place} {name}": values
        for place in ("first", "second")
        for name, values in (
            ("count", COUNTS),
            ("size", SIZES),
            ("texture", TEXTURES),
            ("color", COLORS),
            ("shape", SHAPES),
        )
    },
}

_PLURALS = {shape: f"{shape}s" for shape in SHAPES}
_LARGE = SIZES.index("large")
_SOLID = TEXTURES.index("solid")
_MOST_LARGE = 2
_MOST_IN_A_PAIR = 3
_MOST_OBJECTS = 5
_LAYOUT_SHARES = (0.2, 0.3, 0.3, 0.2)


@dataclass(frozen=True)
class Group:
    """Objects alike: indices into ``COUNTS``, ``SIZES``, ``TEXTURES``, ``COLORS`` and ``SHAPES``."""

    count: int
    size: int
    texture: int
    color: int
    shape: int

    def phrase(self) -> str:
        """The noun phrase of a caption, such as "three small striped red circles"."""
        shape = SHAPES[self.shape]
        words = COUNTS[self.count], SIZES[self.size], TEXTURES[self.texture], COLORS[self.color]
        return " ".join((*words, _PLURALS[shape] if self.count else shape))


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Args:
        background: index into ``BACKGROUNDS``.
        layout: index into ``LAYOUTS``.
        groups: one group alone, otherwise two: the left, upper or front one first.
    """

    background: int
    layout: int
    groups: tuple[Group, ...]

    def attributes(self) -> list[int]:
        """The value index of every attribute in ``ATTRIBUTES``; -1 where the scene has no second group."""
        values = [self.background, self.layout]
        for group in self.groups:
            values += [group.count, group.size, group.texture, group.color, group.shape]
        return values + [-1] * (len(ATTRIBUTES) - len(values))

    def caption(self, *, first_named: int = 0) -> str:
        """The caption; of two groups, ``first_named`` chooses which is named first (0: the left, upper or front)."""
        ground = f"on a {BACKGROUNDS[self.background]} background"
        if len(self.groups) == 1:
            return f"{self.groups[0].phrase()} {ground}"
        named = self.groups[first_named], self.groups[1 - first_named]
        meaning = LAYOUTS[self.layout], first_named == 0
        relation = next(words for words, known in RELATIONS.items() if known == meaning)
        return f"{named[0].phrase()} {relation} {named[1].phrase()} {ground}"

    def split(self) -> Split:
        """Which split the scene belongs to, fixed by a hash of what it shows: 90 % train, 5 % and 5 % the others."""
        return split_of(self.caption())

    def fits(self) -> bool:
        """Whether the world has the scene: there is room for all objects, and what is said of them can be seen.

        Large objects come at most in twos; beside another group there is room for three, and for five in all. Two
        groups differ in color or shape. Where objects overlap, both are large, they differ in color, and the front
        one is solid, so that it hides what is behind it.
        """
        if any(group.size == _LARGE and group.count >= _MOST_LARGE for group in self.groups):
            return False
        if len(self.groups) == 1:
            return LAYOUTS[self.layout] == "alone"
        first, second = self.groups
        if LAYOUTS[self.layout] == "overlap":
            single = all(group.count == 0 and group.size == _LARGE for group in self.groups)
            return single and first.texture == _SOLID and first.color != second.color
        counts = [group.count + 1 for group in self.groups]
        alike = first.color == second.color and first.shape == second.shape
        return not alike and max(counts) <= _MOST_IN_A_PAIR and sum(counts) <= _MOST_OBJECTS


def parse_caption(caption: str) -> Scene:
    """The scene that a caption describes.

    Raises:
        PromptError: the caption is not one of this world.
    """
    try:
        body, _, ground = caption.strip().lower().partition(" on a ")
        scene = _parse_body(body, BACKGROUNDS.index(ground.removesuffix(" background")))
    except ValueError:
        scene = None
    if scene is None or not scene.fits():
        raise PromptError(
            f"The prompt {caption!r} is not a caption of the flow-shapes world; it must read like "
            "'three small striped red circles left of a large solid blue square on a white background', "
            "'a large solid green diamond in front of a large hollow purple circle on a gray background' or "
            "'five small hollow green diamonds on a black background', with at most five objects, large ones at most "
            "in twos, three of a kind beside others, and a large solid object in front of another large one."
        )
    return scene


def _parse_body(body: str, background: int) -> Scene:
    for words, (layout, first_named_leads) in RELATIONS.items():
        if f" {words} " in body:
            named = [_parse_group(part) for part in body.split(f" {words} ")]
            first, second = named if first_named_leads else reversed(named)
            return Scene(background, LAYOUTS.index(layout), (first, second))
    return Scene(background, LAYOUTS.index("alone"), (_parse_group(body),))


def _parse_group(phrase: str) -> Group:
    count, size, texture, color, shape = phrase.split(" ")
    number = COUNTS.index(count)
    names = list(_PLURALS.values()) if number else list(SHAPES)
    return Group(number, SIZES.index(size), TEXTURES.index(texture), COLORS.index(color), names.index(shape))


def random_scene(rng: np.random.Generator, split: Split | None = None) -> Scene:
    """A scene drawn evenly over attributes, as far as there is room for it.

    Args:
        rng: source of randomness.
        split: draw until the scene is of this split; None takes any.
    """
    while True:
        layout = int(rng.choice(len(LAYOUTS), p=_LAYOUT_SHARES))
        scene = _random_scene_of(rng, layout)
        while not scene.fits():
            scene = _random_scene_of(rng, layout)
        if split is None or scene.split() == split:
            return scene


def _random_scene_of(rng: np.random.Generator, layout: int) -> Scene:
    """A scene of the layout that may not fit; of an overlap, size and number are not left to chance."""
    background = int(rng.integers(len(BACKGROUNDS)))
    if LAYOUTS[layout] == "alone":
        return Scene(background, layout, (_random_group(rng, _MOST_OBJECTS),))
    if LAYOUTS[layout] == "overlap":
        return Scene(background, layout, (_random_kind(rng, 0, _LARGE), _random_kind(rng, 0, _LARGE)))
    return Scene(background, layout, (_random_group(rng, _MOST_IN_A_PAIR), _random_group(rng, _MOST_IN_A_PAIR)))


def _random_group(rng: np.random.Generator, most: int) -> Group:
    size = int(rng.integers(len(SIZES)))
    return _random_kind(rng, int(rng.integers(_MOST_LARGE if size == _LARGE else most)), size)


def _random_kind(rng: np.random.Generator, count: int, size: int) -> Group:
    texture, color, shape = (int(rng.integers(len(values))) for values in (TEXTURES, COLORS, SHAPES))
    return Group(count, size, texture, color, shape)


def random_caption(rng: np.random.Generator, scene: Scene) -> str:
    """One of the scene's captions."""
    return scene.caption(first_named=int(rng.integers(len(scene.groups))))


def prompts(split: Split, count: int, seed: int = 0) -> list[str]:
    """``count`` distinct captions of a split, the same for the same seed; the first ones do not depend on ``count``."""
    return distinct_captions(lambda rng: random_caption(rng, random_scene(rng, split)), split, count, seed)


def vocabulary() -> list[str]:
    """Every word of every caption, sorted."""
    words = {"on", "a", "background", *_PLURALS.values()}
    for values in (COUNTS, SIZES, TEXTURES, COLORS, SHAPES, BACKGROUNDS):
        words.update(values)
    for relation in RELATIONS:
        words.update(relation.split())
    return sorted(words)
