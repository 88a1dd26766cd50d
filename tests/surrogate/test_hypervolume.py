from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.indicators.hv import HV

from surrogate import Reference, hypervolume, hypervolume_improvement, non_dominated, reference_of, staircase

REFERENCE = Reference(reward=0.0, cost=8.0)

#: Few distinct values, so that ties and duplicates are frequent.
points = st.lists(st.tuples(st.integers(-3, 9), st.integers(-2, 10)), max_size=12)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, dtype=float).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def pymoo_hypervolume(reward: np.ndarray, cost: np.ndarray) -> float:
    return float(HV(ref_point=np.array([-REFERENCE.reward, REFERENCE.cost]))(np.stack([-reward, cost], axis=1)))


@given(points.filter(len))
def test_hypervolume_is_that_of_pymoo(pairs: list[tuple[int, int]]) -> None:
    reward, cost = split(pairs)
    assert hypervolume(reward, cost, REFERENCE) == pytest.approx(pymoo_hypervolume(reward, cost))


def test_hypervolume_of_many_random_points_is_that_of_pymoo() -> None:
    rng = np.random.default_rng(0)
    reward, cost = rng.normal(1.0, 1.0, 500), rng.uniform(0.0, 9.0, 500)
    assert hypervolume(reward, cost, REFERENCE) == pytest.approx(pymoo_hypervolume(reward, cost))


@given(points, points.filter(len))
def test_gain_is_the_difference_of_hypervolumes(known: list[tuple[int, int]], new: list[tuple[int, int]]) -> None:
    reward, cost = split(known)
    gains = hypervolume_improvement(*split(new), staircase(reward, cost, REFERENCE))
    before = hypervolume(reward, cost, REFERENCE)
    for gain, (r, c) in zip(gains, new, strict=True):
        assert gain == pytest.approx(hypervolume([*reward, r], [*cost, c], REFERENCE) - before)


@given(points)
def test_staircase_is_the_best_reward_up_to_a_cost(pairs: list[tuple[int, int]]) -> None:
    reward, cost = split(pairs)
    at = np.arange(-3, 8)
    expected = [max([REFERENCE.reward, *reward[cost <= c]]) for c in at]
    assert staircase(reward, cost, REFERENCE).level_at(at) == pytest.approx(expected)


def test_no_points_have_no_hypervolume() -> None:
    assert hypervolume([], [], REFERENCE) == 0.0
    assert hypervolume_improvement([2.0], [5.0], staircase([], [], REFERENCE)) == pytest.approx([6.0])


def test_points_outside_the_reference_do_not_count() -> None:
    assert hypervolume([5.0, -1.0], [8.0, 1.0], REFERENCE) == 0.0


@given(points.filter(len))
def test_a_reference_without_one_given_is_worse_than_the_whole_front(pairs: list[tuple[int, int]]) -> None:
    reward, cost = split(pairs)
    found = reference_of(reward, cost)
    front = non_dominated(reward, cost)
    assert found.reward < reward[front].min()
    assert found.cost > cost[front].max()
    # Every point of the front counts.
    assert len(staircase(reward, cost, found).levels) == 1 + len(set(cost[front]))


def test_a_reference_is_a_tenth_of_the_extent_of_the_front_away() -> None:
    assert reference_of([0.0, 10.0, -50.0], [1.0, 3.0, 90.0]) == pytest.approx((-1.0, 3.2))
    assert reference_of([2.0], [3.0]) == pytest.approx((1.9, 3.1))
