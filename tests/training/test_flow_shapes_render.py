from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.flow_shapes.world import parse_caption, random_scene
from training.flow_shapes.render import render

seeds = st.integers(0, 2**32)


def picture(caption: str, seed: int = 0) -> np.ndarray:
    return render([parse_caption(caption)], np.random.default_rng(seed))[0]


@given(seeds)
def test_pictures_are_the_same_for_the_same_seed(seed: int) -> None:
    scenes = [random_scene(np.random.default_rng(seed)) for _ in range(2)]
    first, second = (render(scenes, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == (2, 3, 64, 64)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1


@given(seeds)
def test_all_objects_are_within_the_picture(seed: int) -> None:
    """The outermost pixels show the background alone."""
    (drawn,) = render([random_scene(np.random.default_rng(seed))], np.random.default_rng(seed))
    border = np.concatenate([drawn[:, 0], drawn[:, -1], drawn[:, :, 0], drawn[:, :, -1]], axis=1)
    assert np.ptp(border, axis=1).max() < 0.01


def test_more_objects_cover_more_of_the_picture() -> None:
    covered = []
    for words in ("a small solid red circle", "two small solid red circles", "five small solid red circles"):
        red, green, _ = picture(f"{words} on a black background")
        covered.append(int((red - green > 0.4).sum()))
    assert covered[1] > 1.7 * covered[0]
    assert covered[2] > 4.2 * covered[0]


def test_the_first_group_is_where_the_caption_says() -> None:
    red, _, blue = picture("a small solid red circle right of a large solid blue square on a black background")
    assert np.nonzero(red > 0.6)[1].mean() > 40
    assert np.nonzero(blue > 0.6)[1].mean() < 24
    red, _, blue = picture("a small solid red circle below a large solid blue square on a black background")
    assert np.nonzero(red > 0.6)[0].mean() > 40
    assert np.nonzero(blue > 0.6)[0].mean() < 24


def test_what_is_in_front_hides_what_is_behind() -> None:
    in_front, behind = (
        picture(f"a large solid red square {relation} a large solid blue square on a black background", seed=5)
        for relation in ("in front of", "behind")
    )
    assert (in_front[0] > 0.6).sum() > (behind[0] > 0.6).sum() + 50
    assert (in_front[2] > 0.6).sum() < (behind[2] > 0.6).sum() - 50
