from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import PromptError
from ecad_automl.flow_shapes.world import (
    ATTRIBUTES,
    COUNTS,
    LAYOUTS,
    Scene,
    parse_caption,
    prompts,
    random_scene,
    vocabulary,
)
from training.flow_shapes.architecture import MAX_TOKENS

seeds = st.integers(0, 2**32)


@given(seeds)
def test_every_caption_of_a_scene_names_that_scene(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    for first in range(len(scene.groups)):
        assert parse_caption(scene.caption(first_named=first)) == scene


@given(seeds)
def test_scenes_fit_and_have_one_to_five_objects(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    assert scene.fits()
    assert 1 <= sum(group.count + 1 for group in scene.groups) <= 5


@given(seeds)
def test_captions_are_short_and_in_the_vocabulary(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    words = scene.caption().split()
    assert set(words) <= set(vocabulary())
    assert len(words) < MAX_TOKENS


@given(seeds)
def test_attributes_are_valid_and_absent_only_for_a_missing_second_group(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    values = scene.attributes()
    assert len(values) == len(ATTRIBUTES)
    for value, (name, choices) in zip(values, ATTRIBUTES.items(), strict=True):
        missing = name.startswith("second") and len(scene.groups) == 1
        assert value == -1 if missing else 0 <= value < len(choices)


@given(seeds)
def test_two_groups_can_be_told_apart(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    if len(scene.groups) == 2:
        first, second = scene.groups
        assert (first.color, first.shape) != (second.color, second.shape)


def test_splits_share_no_scene() -> None:
    scenes: dict[str, set[Scene]] = {
        split: {parse_caption(text) for text in prompts(split, 300)} for split in ("train", "calibration", "held-out")
    }
    assert not scenes["train"] & scenes["calibration"]
    assert not scenes["train"] & scenes["held-out"]
    assert not scenes["calibration"] & scenes["held-out"]


def test_prompts_are_distinct_of_their_split_and_the_same_for_the_same_seed() -> None:
    texts = prompts("held-out", 200, seed=3)
    assert len(set(texts)) == 200
    assert {parse_caption(text).split() for text in texts} == {"held-out"}
    assert prompts("held-out", 50, seed=3) == texts[:50]
    assert prompts("held-out", 50, seed=4) != texts[:50]


def test_every_layout_and_number_occurs() -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(500)]
    assert {scene.layout for scene in scenes} == set(range(len(LAYOUTS)))
    assert {group.count for scene in scenes for group in scene.groups} == set(range(len(COUNTS)))


@pytest.mark.parametrize(
    "caption",
    [
        "a photo of a cat",
        "three large solid red circles on a white background",
        "a small solid red circles on a white background",
        "four small solid red circles above a small solid blue square on a white background",
        "three small solid red circles above three small solid blue squares on a white background",
        "a large striped red circle in front of a large solid blue square on a white background",
        "a small solid red circle in front of a large solid blue square on a white background",
        "a large solid red circle left of a small hollow red circle on a white background",
        "a large solid red circle on a teal background",
    ],
)
def test_other_captions_are_refused_with_an_example(caption: str) -> None:
    with pytest.raises(PromptError, match="flow-shapes world; it must read like"):
        parse_caption(caption)
