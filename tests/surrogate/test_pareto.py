from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from ecad_automl.errors import StudyError
from surrogate import (
    GrowingFront,
    cheapest_within_drop,
    knee,
    most_reward_at_speedup,
    non_dominated,
    pareto_front,
)

Pairs = list[tuple[float, float]]

#: Rewards and costs. Few distinct values, so that ties and duplicates are frequent.
SMALL = st.integers(0, 8).map(float)
POINTS = st.lists(st.tuples(SMALL, SMALL), max_size=30)


def split(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs, dtype=float).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def pymoo_front(reward: np.ndarray, cost: np.ndarray) -> set[int]:
    return set(NonDominatedSorting().do(np.stack([-reward, cost], axis=1), only_non_dominated_front=True).tolist())


@settings(deadline=None)
@given(POINTS.filter(len))
def test_every_front_is_that_of_pymoo(pairs: Pairs) -> None:
    reward, cost = split(pairs)
    expected = pymoo_front(reward, cost)
    assert set(np.flatnonzero(non_dominated(reward, cost)).tolist()) == expected
    # Of equal points the others keep the first.
    first = [i for i in sorted(expected) if pairs.index(pairs[i]) == i]
    assert sorted(pareto_front(reward, cost).tolist()) == first
    growing = GrowingFront()
    for point in pairs:
        growing.add(*point)
    assert list(zip(growing.rewards, growing.costs, strict=True)) == [pairs[i] for i in first]


def test_fronts_of_many_random_points_are_those_of_pymoo() -> None:
    rng = np.random.default_rng(0)
    reward, cost = rng.normal(size=(2, 2000))
    assert set(pareto_front(reward, cost).tolist()) == pymoo_front(reward, cost)


@settings(deadline=None)
@given(POINTS)
def test_the_front_goes_from_the_cheapest_to_the_dearest(pairs: Pairs) -> None:
    reward, cost = split(pairs)
    found = pareto_front(reward, cost)
    assert (np.diff(cost[found]) > 0).all()
    assert (np.diff(reward[found]) > 0).all()


def test_a_growing_front_says_whether_it_took_a_point() -> None:
    front = GrowingFront()
    assert [front.add(*point) for point in [(1, 5), (1, 5), (0, 6), (0.5, 2), (2, 1)]] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert (front.rewards, front.costs) == ([2], [1])


@settings(deadline=None)
@given(POINTS.filter(len), st.integers(1, 6))
def test_the_choice_by_speedup_has_the_highest_reward_that_is_cheap_enough(pairs: Pairs, speedup: int) -> None:
    fitting = [i for i, (_, cost) in enumerate(pairs) if cost * speedup <= 8.0]
    if fitting:
        chosen = most_reward_at_speedup(*split(pairs), 8.0, speedup)
        assert chosen == min(fitting, key=lambda i: (-pairs[i][0], pairs[i][1], i))
    elif min(cost for _, cost in pairs):
        with pytest.raises(StudyError, match="times cheaper"):
            most_reward_at_speedup(*split(pairs), 8.0, speedup)


def test_a_schedule_of_exactly_the_wanted_speedup_is_cheap_enough() -> None:
    full = 5.7138
    assert most_reward_at_speedup([1.0], [full / 3], full, 3.0) == 0


def test_a_speedup_out_of_reach_names_what_is_in_reach() -> None:
    with pytest.raises(StudyError, match=r"5 times cheaper.*the cheapest is 4\.00 times"):
        most_reward_at_speedup([1, 2], [2.5, 5], 10.0, 5)
    for senseless in (0, -1, float("nan")):
        with pytest.raises(StudyError, match="above 0"):
            most_reward_at_speedup([1], [2.5], 10.0, senseless)


def test_the_choice_by_drop_is_the_cheapest_that_loses_little_enough() -> None:
    reward, cost, drop = [1, 2, 3, 4], [1, 2, 3, 9], [0.5, 0.1, 0.05, -0.01]
    assert cheapest_within_drop(reward, cost, drop, 0.1) == 1
    assert cheapest_within_drop(reward, cost, drop, 0.0) == 3
    assert cheapest_within_drop([1, 2, 2], [5, 5, 5], [0, 0, 0], 1) == 1
    with pytest.raises(StudyError, match=r"at most -0\.1 of reward; the smallest loss is -0\.01"):
        cheapest_within_drop(reward, cost, drop, -0.1)


def test_the_knee_is_where_the_front_bends() -> None:
    reward, cost = [0.0, 0.8, 0.95, 1.0], [1, 2, 6, 10]
    assert knee(reward, cost) == 1
    assert knee(reward[::-1], cost[::-1]) == 2


@settings(deadline=None)
@given(POINTS.filter(len), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_knee_does_not_depend_on_units(pairs: Pairs, scale: float, shift: float) -> None:
    reward, cost = split(pairs)
    found = pareto_front(reward, cost)
    reward, cost = reward[found], cost[found]
    chosen, moved = knee(reward, cost), knee(reward * scale + shift, cost * 4)
    if len(found) == 1:
        return
    above = (reward - reward[0]) / np.ptp(reward) - (cost - cost[0]) / np.ptp(cost)
    assert above[chosen] == pytest.approx(above.max())
    assert above[moved] == pytest.approx(above.max(), abs=1e-6)


def test_a_front_without_a_bend_gives_its_best_reward() -> None:
    assert knee([0.0], [1]) == 0
    assert knee([0.0, 1.0], [1, 2]) == 1
    assert knee([0.0, 0.1, 1.0], [1, 2, 3]) == 2
    assert knee([1.0, 1.0], [1, 2]) == 0


def test_nothing_can_be_chosen_from_nothing() -> None:
    for choose in (
        lambda: knee([], []),
        lambda: cheapest_within_drop([], [], [], 1),
        lambda: most_reward_at_speedup([], [], 2, 1),
    ):
        with pytest.raises(StudyError, match="search first"):
            choose()
