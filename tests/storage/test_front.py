from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.errors import StudyError
from storage import EvaluationRecord, choose_by_drop, choose_by_speedup, choose_trial, front, knee


@dataclass(frozen=True)
class Point:
    gmacs: float
    reward: float
    reward_drop: float = 0.0
    trial: int | None = None
    complete: bool = True
    feasible: bool = True


SMALL = st.integers(0, 8).map(float)
POINTS = st.lists(st.builds(Point, gmacs=SMALL, reward=SMALL), max_size=30)


def beats(one: Point, other: Point) -> bool:
    no_worse = one.reward >= other.reward and one.gmacs <= other.gmacs
    return no_worse and (one.reward > other.reward or one.gmacs < other.gmacs)


@settings(deadline=None)
@given(POINTS)
def test_the_front_is_what_no_point_beats(points: list[Point]) -> None:
    found = front(points)
    unbeaten = {(p.gmacs, p.reward) for p in points if not any(beats(other, p) for other in points)}
    assert {(p.gmacs, p.reward) for p in found} == unbeaten
    assert len(found) == len(unbeaten)
    assert [p.gmacs for p in found] == sorted(p.gmacs for p in found)
    assert [p.reward for p in found] == sorted(p.reward for p in found)


def test_of_equal_points_the_first_is_taken() -> None:
    points = [Point(1, 1, trial=7), Point(1, 1, trial=3)]
    assert front(points) == points[:1]


def test_incomplete_infeasible_and_unscored_points_are_left_out() -> None:
    left_out = [
        Point(1, 9, complete=False),
        Point(2, 9, feasible=False),
        Point(1, float("nan")),
        Point(float("nan"), 9),
    ]
    assert front([*left_out, Point(5, 2)]) == [Point(5, 2)]
    assert front([]) == []


def test_evaluation_records_are_points() -> None:
    record = EvaluationRecord("ff", 1.0, 2.0, 0.5, trial=3)
    assert front([record]) == [record]
    assert choose_trial([record], 3) is record


@settings(deadline=None)
@given(POINTS.filter(bool), st.integers(1, 6))
def test_the_choice_by_speedup_has_the_highest_reward_that_is_cheap_enough(points: list[Point], speedup: int) -> None:
    fitting = [p for p in points if p.gmacs * speedup <= 8.0]
    if fitting:
        chosen = choose_by_speedup(points, speedup, 8.0)
        assert chosen in fitting
        assert chosen.reward == max(p.reward for p in fitting)
    else:
        with pytest.raises(StudyError, match="times cheaper"):
            choose_by_speedup(points, speedup, 8.0)


def test_a_schedule_of_exactly_the_wanted_speedup_is_cheap_enough() -> None:
    full = 5.7138
    point = Point(full / 3, 1.0)
    assert choose_by_speedup([point], 3.0, full) is point


def test_a_speedup_out_of_reach_names_what_is_in_reach() -> None:
    with pytest.raises(StudyError, match=r"5 times cheaper.*the cheapest is 4\.00 times"):
        choose_by_speedup([Point(2.5, 1), Point(5, 2)], 5, 10.0)
    for senseless in (0, -1, float("nan")):
        with pytest.raises(StudyError, match="above 0"):
            choose_by_speedup([Point(2.5, 1)], senseless, 10.0)


def test_the_choice_by_drop_is_the_cheapest_that_loses_little_enough() -> None:
    points = [Point(1, 1, 0.5), Point(2, 2, 0.1), Point(3, 3, 0.05), Point(9, 4, -0.01)]
    assert choose_by_drop(points, 0.1) is points[1]
    assert choose_by_drop(points, 0.0) is points[3]
    with pytest.raises(StudyError, match=r"at most -0\.1 of reward; the smallest loss is -0\.01"):
        choose_by_drop(points, -0.1)


def test_the_knee_is_where_the_front_bends() -> None:
    points = [Point(1, 0.0), Point(2, 0.8), Point(6, 0.95), Point(10, 1.0)]
    assert knee(points) is points[1]
    assert knee(points[::-1]) is points[1]


@settings(deadline=None)
@given(POINTS.filter(bool), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_knee_does_not_depend_on_units(points: list[Point], scale: float, shift: float) -> None:
    found = front(points)
    moved = [Point(p.gmacs * 4, p.reward * scale + shift) for p in found]
    chosen, chosen_moved = knee(found), knee(moved)

    def above(p: Point, among: list[Point]) -> float:
        dear, cheap = among[-1], among[0]
        if dear is cheap:
            return 0.0
        return (p.reward - cheap.reward) / (dear.reward - cheap.reward) - (p.gmacs - cheap.gmacs) / (
            dear.gmacs - cheap.gmacs
        )

    best = max(above(p, found) for p in found)
    assert above(chosen, found) == pytest.approx(best)
    assert above(found[moved.index(chosen_moved)], found) == pytest.approx(best, abs=1e-6)


def test_a_front_without_a_bend_gives_its_best_reward() -> None:
    assert knee([Point(1, 0.0)]) == Point(1, 0.0)
    assert knee([Point(1, 0.0), Point(2, 1.0)]) == Point(2, 1.0)
    assert knee([Point(1, 0.0), Point(2, 0.1), Point(3, 1.0)]) == Point(3, 1.0)
    assert knee([Point(1, 1.0), Point(2, 1.0)]) == Point(1, 1.0)


def test_a_trial_is_found_by_its_number() -> None:
    points = [Point(1, 1), Point(2, 2, trial=4), Point(3, 3, trial=9)]
    assert choose_trial(points, 4) is points[1]
    with pytest.raises(StudyError, match="no evaluated trial 5; the trials go from 4 to 9"):
        choose_trial(points, 5)
    with pytest.raises(StudyError, match="no trials yet"):
        choose_trial(points[:1], 5)


def test_nothing_can_be_chosen_from_nothing() -> None:
    for choose in (lambda: knee([]), lambda: choose_by_drop([], 1), lambda: choose_by_speedup([], 2, 1)):
        with pytest.raises(StudyError, match="search first"):
            choose()
