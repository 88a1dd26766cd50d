from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.search.objective import BudgetSpentError, mask_of, text_of
from benchmarks.search.rivals import STEP_RIVALS
from benchmarks.search.step_rivals import budcache, dpcache, spread_order
from benchmarks.search.step_search import step_search
from benchmarks.search.whole_steps import distances, shortest_paths
from tests.benchmarks.conftest import IMAGES, LAYOUT, STEPS, products_of


def path_cost(distance: NDArray[np.float64], mask: tuple[int, ...]) -> float:
    latest = [max(step for step in mask if step <= at) for at in range(len(distance))]
    return float(sum(distance[at, source] for at, source in enumerate(latest)))


@pytest.mark.parametrize("count", range(1, 7))
def test_path_is_the_cheapest_of_all_masks_of_its_length(count: int) -> None:
    moved = distances(products_of(6))
    mask = shortest_paths(moved)[count - 1]
    masks = [(0, *rest) for rest in combinations(range(1, 6), count - 1)]
    assert mask in masks
    assert path_cost(moved, mask) == pytest.approx(min(path_cost(moved, other) for other in masks))


@pytest.mark.parametrize("name", STEP_RIVALS)
def test_steps_are_computed_or_reused_as_a_whole(name: str, toy: Callable[[int], Any]) -> None:
    tried = toy(120 * IMAGES)
    with suppress(BudgetSpentError):
        STEP_RIVALS[name](tried, LAYOUT, STEPS, 0)
    counts = {int(schedule.effective.all(axis=1).sum()) for schedule in tried.asked}
    assert all((schedule.effective.all(axis=1) == schedule.effective.any(axis=1)).all() for schedule in tried.asked)
    assert counts >= set(range(2, STEPS + 1))


def test_dynamic_programming_pays_one_calibration_and_each_number_of_steps_once(toy: Callable[[int], Any]) -> None:
    tried = toy(100 * IMAGES)
    dpcache(tried, LAYOUT, STEPS, 0)
    assert len(set(tried.asked)) == len(tried.asked) == STEPS
    assert tried.left == (100 - 1 - STEPS) * IMAGES
    assert not tried.latents_asked


def test_dynamic_programming_stops_where_its_budget_does(toy: Callable[[int], Any]) -> None:
    tried = toy(5 * IMAGES)
    with pytest.raises(BudgetSpentError):
        dpcache(tried, LAYOUT, STEPS, 0)
    assert (len(tried.asked), tried.left) == (4, 0)


def test_numbers_of_steps_below_the_floor_are_not_tried(toy: Callable[[int], Any]) -> None:
    everything = toy(100 * IMAGES)
    dpcache(everything, LAYOUT, STEPS, 0)
    rewards = sorted(reward for reward, _ in everything.points)
    tried = toy(100 * IMAGES)
    tried.lowest = rewards[-3]
    dpcache(tried, LAYOUT, STEPS, 0)
    below = [schedule for schedule in tried.asked if float((schedule.effective * tried._worth).sum()) < tried.lowest]
    assert len(below) < STEPS - 3
    assert sum(reward >= tried.lowest for reward, _ in tried.points) == 3


def test_step_search_begins_with_both_ways_of_dpcache_and_improves_on_them(toy: Callable[[int], Any]) -> None:
    begin, end = toy(19 * IMAGES), toy(200 * IMAGES)
    for tried in (begin, end):
        with suppress(BudgetSpentError):
            step_search(tried, LAYOUT, STEPS, 0)
    assert {len(mask) for mask in begin.masks} == set(range(2, STEPS + 1))
    assert len(begin.asked) == STEPS - 1
    assert (begin.left, end.repeats) == (0, 0)
    assert end.hypervolume() > begin.hypervolume() + 0.01


def test_texts_of_masks_are_told_from_those_of_schedules() -> None:
    assert mask_of(text_of((0, 3, 7))) == (0, 3, 7)
    assert mask_of("ff00") is None


def test_annealing_pays_for_latents_and_evaluations_from_one_budget(toy: Callable[[int], Any]) -> None:
    tried = toy(150)
    with pytest.raises(BudgetSpentError):
        budcache(tried, LAYOUT, STEPS, 0)
    assert tried.left < IMAGES
    assert len(tried.asked) * IMAGES + sum(images for _, images in tried.latents_asked) + tried.left == 150


def test_annealing_ends_with_the_least_error_of_each_number_of_steps(toy: Callable[[int], Any]) -> None:
    tried = toy(10**6)
    budcache(tried, LAYOUT, STEPS, 0)
    worth = np.array([tried._worth[step].sum() for step in range(STEPS)])
    for count in range(2, STEPS):
        fixed = max(1, count // 4)
        best = worth[:fixed].sum() + np.sort(worth[fixed:])[::-1][: count - fixed].sum()
        found = [reward for reward, gmacs in tried.points if gmacs == pytest.approx(STEPS + count * len(LAYOUT))]
        assert max(found) == pytest.approx(best)


def test_beginnings_of_the_order_cover_the_range() -> None:
    assert spread_order(2, 9) == [2, 9, 5, 3, 7, 4, 6, 8]
    assert (spread_order(3, 3), spread_order(3, 2)) == ([3], [])
