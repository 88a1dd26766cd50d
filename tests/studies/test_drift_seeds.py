from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.drift_seeds import (
    cheapest_paths,
    drift_optimal_seeds,
    mixed_drift_seeds,
    reuse_error,
    step_paths,
)
from studies.seeds import first_schedules

STEPS = 5


def random_drift(seed: int, slots: int = 2) -> np.ndarray:
    drift = np.random.default_rng(seed).random((slots, STEPS, STEPS))
    drift = drift + drift.transpose(0, 2, 1)
    drift[:, np.arange(STEPS), np.arange(STEPS)] = 0
    return drift


def total(drift: np.ndarray, column: tuple[bool, ...], price: float) -> float:
    """Error and price of one slot, by the definition."""
    cost, last = 0.0, 0
    for step, computed in enumerate(column):
        if computed:
            last = step
            cost += price
        cost += drift[step, last]
    return cost


@given(st.integers(0, 2**32), st.floats(0, 3))
def test_paths_are_the_best_of_all_schedules(seed: int, price: float) -> None:
    drift = random_drift(seed)
    error = reuse_error(drift)
    (found,) = cheapest_paths(error, np.full((1, 2), price))
    for slot in range(2):
        options = [(True, *rest) for rest in itertools.product([False, True], repeat=STEPS - 1)]
        best = min(total(drift[slot], column, price) for column in options)
        assert total(drift[slot], tuple(found[:, slot]), price) == pytest.approx(best)


def test_seeds_are_distinct_and_run_from_dear_to_cheap() -> None:
    drift = random_drift(0, slots=6)
    macs = np.array([3, 2, 5, 3, 2, 5])
    seeds = drift_optimal_seeds(drift, macs, 8)
    spent = (seeds.sum(axis=1) @ macs).tolist()
    assert spent == sorted(spent, reverse=True)
    assert len({row.tobytes() for row in seeds}) == len(seeds)
    assert seeds[:, 0].all()
    assert spent[0] > 0.7 * macs.sum() * STEPS
    assert spent[-1] == macs.sum()


def test_steps_where_drift_matters_more_are_computed_rather() -> None:
    weights = np.array([1.0, 1.0, 10.0, 1.0, 1.0])
    error = reuse_error((1 - np.eye(STEPS))[None] * weights[:, None])
    (found,) = cheapest_paths(error, np.array([[3.0]]))
    assert found[2, 0]
    assert found.sum() == 2


def test_seeds_are_spread_evenly_in_speedup() -> None:
    drift = random_drift(0, slots=40) + 0.1
    spent = drift_optimal_seeds(drift, np.ones(40), 5).sum(axis=(1, 2)) / (40 * STEPS)
    assert spent == pytest.approx(np.geomspace(0.95, 1 / STEPS, 5), abs=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_mixed_seeds_are_never_more_than_asked(count: int) -> None:
    drift = random_drift(0, slots=6)
    seeds = mixed_drift_seeds(drift, np.ones(6), np.tile([0, 1, 2], 2), count)
    assert 1 <= len(seeds) <= count
    assert len({row.tobytes() for row in seeds}) == len(seeds)


def test_whole_steps_are_the_best_of_all_choices_for_each_number() -> None:
    steps = 7
    error = np.random.default_rng(4).random((steps, steps))

    def total(chosen: tuple[int, ...]) -> float:
        return sum(error[step, max(c for c in chosen if c <= step)] for step in range(steps) if step not in chosen)

    for count, row in enumerate(step_paths(error), start=1):
        others = [(0, *rest) for rest in itertools.combinations(range(1, steps), count - 1)]
        best = min(total(chosen) for chosen in others)
        assert row.sum() == count
        assert total(tuple(np.flatnonzero(row))) == pytest.approx(best)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_runs_of_few_steps_have_seeds_too(steps: int) -> None:
    layout = Layout("Toy", tuple(Slot("blocks.0", name, macs=10) for name in ("attn1", "ff")), constant_macs=1)
    distance = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))[None].repeat(2, axis=0) / 10
    drift = Drift(tuple(slot.name for slot in layout.slots), distance, np.ones((2, steps)), distance[0])
    found = first_schedules(layout, drift, SearchConfig(), mac_cost(layout))
    assert Schedule.all_compute(layout, steps) in found.values()
    assert len(set(found.values())) == len(found)
