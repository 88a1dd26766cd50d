import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from surrogate import inside_interval, interval_stretch
from surrogate._uncertainty import ErrorModel, Neighborhood


def test_distances_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    known, new = rng.gamma(1.0, 5.0, size=(50, 6)), rng.gamma(1.0, 5.0, size=(20, 6))
    roots = np.sqrt(known)
    scaled = [(np.sqrt(x) - roots.mean(axis=0)) / roots.std(axis=0) / np.sqrt(6) for x in (known, new)]
    expected = NearestNeighbors(n_neighbors=2).fit(scaled[0]).kneighbors(scaled[1])[0].mean(axis=1)
    assert Neighborhood(known).distance(new) == pytest.approx(expected)


def test_a_feature_that_never_varied_does_not_count() -> None:
    known = np.array([[1.0, 4.0], [4.0, 4.0], [9.0, 4.0]])
    near, far = Neighborhood(known).distance(np.array([[1.0, 4.0], [1.0, 400.0]]))
    assert near == far


def test_left_out_schedules_are_compared_with_other_folds_alone() -> None:
    known = np.array([[1.0], [1.0], [100.0], [100.0]])
    apart = Neighborhood(known).distance_left_out(np.array([0, 0, 1, 1]))
    mixed = Neighborhood(known).distance_left_out(np.array([0, 1, 0, 1]))
    assert (apart > mixed).all()


def test_errors_that_grow_with_distance_are_predicted() -> None:
    rng = np.random.default_rng(0)
    distance, spread = rng.gamma(2.0, 1.0, size=2000), np.exp(0.3 * rng.normal(size=2000))
    errors = 0.2 * distance * rng.normal(size=2000)
    std = ErrorModel(errors[:1000], spread[:1000], distance[:1000], np.ones(1000)).std(spread[1000:], distance[1000:])
    assert np.corrcoef(np.log(std), np.log(distance[1000:]))[0, 1] > 0.95
    far = distance[1000:] > np.median(distance)
    for group in (far, ~far):
        assert np.mean(np.abs(errors[1000:][group]) < 1.645 * std[group]) == pytest.approx(0.9, abs=0.04)


def test_models_that_never_err_are_certain() -> None:
    zero = np.zeros(20)
    std = ErrorModel(zero, np.full(20, 1e-6), zero, np.ones(20)).std(np.full(3, 1e-6), np.zeros(3))
    assert np.isfinite(std).all()
    assert (std < 1e-6).all()


@pytest.mark.parametrize("wrong", [0.25, 1.0, 4.0])
def test_intervals_of_a_wrong_width_come_to_hold_as_often_as_they_should(wrong: float) -> None:
    rng = np.random.default_rng(0)
    inside: list[bool] = []
    for actual in rng.normal(size=1000):
        std = wrong * interval_stretch(inside)
        inside.append(bool(inside_interval(0.0, std, actual)))
    assert np.mean(inside[200:]) == pytest.approx(0.9, abs=0.02)


def test_no_intervals_so_far_are_not_stretched() -> None:
    assert interval_stretch([]) == 1.0
