from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import PromptError
from ecad_automl.shapes.world import (
    ATTRIBUTES,
    COLORS,
    LAYOUTS,
    Scene,
    parse_caption,
    prompts,
    random_scene,
    vocabulary,
)

seeds = st.integers(0, 2**32)


@given(seeds)
def test_every_caption_of_a_scene_names_that_scene(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    for first in range(len(scene.objects)):
        assert parse_caption(scene.caption(first_named=first)) == scene


@given(seeds)
def test_the_vocabulary_holds_every_word(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    assert set(scene.caption().split()) <= set(vocabulary())


@given(seeds)
def test_attributes_are_valid_and_absent_only_for_a_missing_second_object(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed))
    values = scene.attributes()
    assert len(values) == len(ATTRIBUTES)
    for value, (name, choices) in zip(values, ATTRIBUTES.items(), strict=True):
        missing = name.startswith("second") and len(scene.objects) == 1
        assert value == -1 if missing else 0 <= value < len(choices)


@given(seeds)
def test_two_objects_can_be_told_apart(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed), single_share=0.0)
    first, second = scene.objects
    assert (first.color, first.shape) != (second.color, second.shape)


def test_splits_share_no_scene() -> None:
    scenes: dict[str, set[Scene]] = {
        split: {parse_caption(text) for text in prompts(split, 300)} for split in ("train", "calibration", "held-out")
    }
    assert not scenes["train"] & scenes["calibration"]
    assert not scenes["train"] & scenes["held-out"]
    assert not scenes["calibration"] & scenes["held-out"]


def test_prompts_are_distinct_stable_and_a_prefix_of_longer_lists() -> None:
    few, many = prompts("held-out", 20), prompts("held-out", 60)
    assert len(set(many)) == 60
    assert many[:20] == few
    assert prompts("held-out", 20, seed=1) != few


def test_named_positions_and_relations_mean_what_they_say() -> None:
    caption = "a small hollow blue cross below a large solid red circle on a teal background"
    scene = parse_caption(caption)
    assert LAYOUTS[scene.layout] == "vertical"
    assert [COLORS[thing.color] for thing in scene.objects] == ["red", "blue"]


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "a photo of a cat",
        "a large red circle at the left on a blue background",
        "a large solid red circle at the left",
        "a large solid red circle at the moon on a white background",
        "the large solid red circle at the left on a white background",
        "a large solid red circle above a small solid red cross above a small solid red cross on a white background",
    ],
)
def test_a_caption_of_another_world_is_refused_with_an_example(caption: str) -> None:
    with pytest.raises(PromptError, match="must read like"):
        parse_caption(caption)
