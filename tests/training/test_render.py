from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.shapes.world import parse_caption, random_scene
from training.shapes.render import render, scatter


def picture(caption: str, seed: int = 0) -> np.ndarray:
    return render([parse_caption(caption)], np.random.default_rng(seed))[0]


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_pictures_are_64_pixels_square_and_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pictures = render([random_scene(rng) for _ in range(3)], rng)
    assert pictures.shape == (3, 3, 64, 64)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert pictures.max() <= 1


def test_the_same_seed_draws_the_same_picture() -> None:
    caption = "a large striped green triangle at the top on a black background"
    assert np.array_equal(picture(caption, 3), picture(caption, 3))
    assert not np.array_equal(picture(caption, 3), picture(caption, 4))


def test_a_solid_object_has_its_color_where_the_caption_says() -> None:
    image = picture("a large solid red circle left of a large solid blue square on a white background")
    red, blue = image[:, 32, 17], image[:, 32, 47]
    assert red[0] > red[2] + 0.4
    assert blue[2] > blue[0] + 0.4
    assert image[:, 2, 2].min() > 0.9


def test_a_hollow_object_shows_the_background_inside() -> None:
    image = picture("a large hollow red circle at the center on a white background")
    assert image[:, 32, 32].min() > 0.9


def test_large_objects_cover_more_than_small_ones() -> None:
    def covered(size: str) -> int:
        image = picture(f"a {size} solid blue square at the center on a white background")
        return int((image[0] < 0.5).sum())

    assert covered("large") > 2 * covered("small")


def test_crowded_pictures_show_more_than_scenes_do() -> None:
    rng = np.random.default_rng(0)
    crowded = scatter(8, 8, rng)
    plain = render([random_scene(rng) for _ in range(8)], rng)
    assert crowded.shape == (8, 3, 64, 64)
    assert crowded.std(axis=(2, 3)).mean() > plain.std(axis=(2, 3)).mean()
