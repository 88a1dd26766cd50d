from __future__ import annotations

from ecad_automl.judging.recommendation import MOST_ERROR, Scored, recommend, recommend_unscored

FRONT = [
    Scored("a", 5.65, -0.40, 0.05),
    Scored("b", 2.46, -0.02, 0.03),
    Scored("c", 1.80, -0.01, 0.02),
    Scored("d", 0.99, 0.0, 0.0),
]
STEPS = [Scored("8 steps", 2.4, -0.3, 0.05), Scored("16 steps", 1.25, -0.05, 0.01)]


def told(front: list[Scored], *more: object) -> str:
    found = recommend(front, *more)  # type: ignore[arg-type]
    assert found is not None
    assert found.words.startswith(f"{front[found.index].speedup:.2f}x: ")
    return found.words


def test_it_is_the_largest_saving_that_the_intervals_do_not_tell_from_uncached() -> None:
    assert told(FRONT, STEPS) == "2.46x: nothing cheaper is as good; beats 8 steps"
    assert told(FRONT[::-1], STEPS) == "2.46x: nothing cheaper is as good; beats 8 steps"
    assert told(FRONT) == "2.46x: nothing cheaper is as good"


def test_with_constraints_it_is_the_cheapest_that_keeps_them() -> None:
    assert (
        told(FRONT, STEPS, ["fidelity>=-0.5"]) == "5.65x: nothing cheaper keeps fidelity>=-0.5; no better than 8 steps"
    )


def test_where_every_difference_shows_runs_of_fewer_steps_are_the_measure() -> None:
    front = [Scored(run.name, run.speedup, run.difference - 0.03, 0.005) for run in FRONT]
    assert told(front, STEPS) == "2.46x: nothing cheaper is as close to uncached as 16 steps; beats 8 steps"
    assert told(front).startswith("1.80x: nothing else loses as little, but the loss shows")


def test_a_run_that_costs_more_than_uncached_is_taken_only_where_nothing_saves() -> None:
    found = recommend([FRONT[3]])
    assert found is not None
    assert (found.index, found.words) == (0, "0.99x: nothing on the front saves anything")
    assert recommend([]) is None


def test_of_schedules_without_images_the_largest_saving_of_little_expected_error() -> None:
    found = recommend_unscored([1.5, 2.0, 3.0], [MOST_ERROR / 9, MOST_ERROR, MOST_ERROR * 1.01])
    assert found is not None
    assert found.index == 1
    assert "no image was made under it yet" in found.words
    least = recommend_unscored([2.0, 3.0], [0.5, 0.9])
    assert least is not None
    assert least.words.startswith("2.00x: the least expected error, 0.5")
    assert recommend_unscored([], []) is None
