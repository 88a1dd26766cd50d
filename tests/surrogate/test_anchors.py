from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate import LogDrop, find_anchors
from surrogate._anchors import ERROR, FEWEST_WHOLE

SCALE = LogDrop(uncached=0.5, spread=1.0)


def drops_of(schedules: int, images: int, kinds: int, noise: float, seed: int = 0) -> np.ndarray:
    """Schedules do harm in a few ways, to which images answer differently."""
    rng = np.random.default_rng(seed)
    harm = rng.lognormal(-2.0, 1.0, size=(schedules, kinds))
    answers = rng.gamma(0.5, 2.0, size=(kinds, images))
    return harm @ answers / kinds * np.exp(noise * rng.normal(size=(schedules, images)))


def test_a_few_anchors_tell_the_mean_of_many_images() -> None:
    known, new = np.split(drops_of(60, 80, kinds=3, noise=0.2), 2)
    anchors = find_anchors(known, SCALE)
    assert anchors is not None
    assert len(anchors.images) <= 8
    told = np.array([anchors.expected_drop(row[anchors.images]) for row in new])
    error = SCALE.of(SCALE.uncached - told) - SCALE.of(SCALE.uncached - new.mean(axis=1))
    assert np.sqrt((error**2).mean()) < ERROR
    # As many images that were chosen blindly tell less.
    blind = new[:, : len(anchors.images)].mean(axis=1) * known.mean() / known[:, : len(anchors.images)].mean()
    of_blind = SCALE.of(SCALE.uncached - blind) - SCALE.of(SCALE.uncached - new.mean(axis=1))
    assert (error**2).mean() < (of_blind**2).mean()


def test_of_many_images_not_too_few_are_anchors() -> None:
    anchors = find_anchors(drops_of(40, 1000, kinds=1, noise=0.0), SCALE)
    assert anchors is not None
    assert len(anchors.images) >= 1000 // 32


def test_an_image_that_says_it_all_is_among_them() -> None:
    drops = drops_of(40, 12, kinds=1, noise=1.5)
    drops[:, 7] = np.delete(drops, 7, axis=1).mean(axis=1)
    anchors = find_anchors(drops, SCALE)
    assert anchors is not None
    assert 7 in anchors.images


def test_images_that_have_nothing_in_common_have_no_anchors() -> None:
    rng = np.random.default_rng(0)
    drops = np.where(rng.random((50, 40)) < 0.05, 5.0, 0.0)  # each drop is one image's own affair
    assert find_anchors(drops, SCALE) is None


@pytest.mark.parametrize(("schedules", "images"), [(FEWEST_WHOLE - 1, 16), (40, 3)])
def test_too_little_is_known_for_anchors(schedules: int, images: int) -> None:
    assert find_anchors(drops_of(schedules, images, kinds=1, noise=0.0), SCALE) is None


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(FEWEST_WHOLE, 30), st.integers(4, 40))
def test_anchors_are_distinct_images_and_at_most_half_of_them(seed: int, schedules: int, images: int) -> None:
    anchors = find_anchors(drops_of(schedules, images, kinds=2, noise=0.3, seed=seed), SCALE)
    if anchors is not None:
        assert 2 <= len(anchors.images) == len(anchors.weights) <= images // 2
        assert (np.diff(anchors.images) > 0).all()
        assert 0 <= anchors.images[0] <= anchors.images[-1] < images
        assert 0 <= anchors.error <= ERROR
        assert anchors.expected_drop(np.zeros(len(anchors.images))) == 0.0


def test_a_schedule_without_any_drop_does_no_harm_to_the_fit() -> None:
    drops = drops_of(40, 16, kinds=2, noise=0.1)
    drops[0] = 0.0
    anchors = find_anchors(drops, SCALE)
    assert anchors is not None
    assert np.isfinite(anchors.weights).all()
