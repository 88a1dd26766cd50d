from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from surrogate import (
    Prediction,
    Reference,
    choose_batch,
    expected_hypervolume_improvement,
    hypervolume,
    hypervolume_improvement,
    staircase,
)

REFERENCE = Reference(reward=0.0, cost=1.0)


def random_front(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    cost = np.sort(rng.random(size))
    return np.sort(rng.random(size)), cost


@pytest.mark.parametrize("size", [0, 1, 7])
def test_expected_gain_is_that_of_monte_carlo(size: int) -> None:
    rng = np.random.default_rng(size)
    front = staircase(*random_front(rng, size), REFERENCE)
    mean, std, cost = rng.random(20), rng.uniform(0.02, 0.5, 20), rng.uniform(-0.1, 1.1, 20)
    expected = expected_hypervolume_improvement(Prediction.of_rewards(mean, std), cost, front)
    draws = np.array([hypervolume_improvement(rng.normal(mean, std), cost, front) for _ in range(20_000)])
    error = draws.std(axis=0) / np.sqrt(len(draws))
    # The absolute part is for gains so rare that no draw shows them.
    assert (np.abs(expected - draws.mean(axis=0)) <= 5 * error + 1e-5).all()


@pytest.mark.parametrize("size", [0, 1, 7])
def test_expected_gain_is_the_integral_over_the_reward(size: int) -> None:
    rng = np.random.default_rng(size)
    front_reward, front_cost = random_front(rng, size)
    front = staircase(front_reward, front_cost, REFERENCE)
    mean, std, cost = rng.random(10), rng.uniform(0.02, 0.5, 10), rng.uniform(-0.1, 1.1, 10)

    def integral(m: float, s: float, c: float) -> float:
        def density(reward: float) -> float:
            return float(norm.pdf(reward, m, s) * hypervolume_improvement([reward], [c], front)[0])

        kinks = [level for level in (0.0, *front_reward) if abs(level - m) < 9 * s]
        return float(quad(density, m - 9 * s, m + 9 * s, points=kinks, limit=400)[0])

    expected = [integral(*values) for values in zip(mean, std, cost, strict=True)]
    assert expected_hypervolume_improvement(Prediction.of_rewards(mean, std), cost, front) == pytest.approx(
        expected, abs=1e-10
    )


@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_certain_rewards_gain_exactly_what_they_add(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    front = staircase(*random_front(rng, size), REFERENCE)
    reward, cost = rng.normal(0.5, 0.5, 30), rng.random(30)
    certain = expected_hypervolume_improvement(Prediction.of_rewards(reward, np.zeros(30)), cost, front)
    assert certain == pytest.approx(hypervolume_improvement(reward, cost, front), abs=1e-12)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_expected_gain_for_an_uncertain_cost_is_that_of_monte_carlo(size: int) -> None:
    rng = np.random.default_rng(size)
    front = staircase(*random_front(rng, size), REFERENCE)
    reward = Prediction.of_rewards(rng.random(20), rng.uniform(0.02, 0.5, 20))
    cost = Prediction.of_rewards(rng.uniform(-0.1, 1.1, 20), rng.uniform(0.0, 0.5, 20))
    expected = expected_hypervolume_improvement(reward, cost, front)
    draws = np.array(
        [
            hypervolume_improvement(rng.normal(reward.reward, reward.std), rng.normal(cost.reward, cost.std), front)
            for _ in range(20_000)
        ]
    )
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert (np.abs(expected - draws.mean(axis=0)) <= 5 * error + 1e-5).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_a_certain_cost_is_a_known_one(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    front_reward, front_cost = random_front(rng, size)
    front = staircase(front_reward, front_cost, REFERENCE)
    prediction, cost = Prediction.of_rewards(rng.random(12), rng.random(12)), rng.random(12)
    certain = Prediction.of_rewards(cost, np.zeros(12))
    known = expected_hypervolume_improvement(prediction, cost, front)
    assert expected_hypervolume_improvement(prediction, certain, front) == pytest.approx(known, abs=1e-12)
    picks = choose_batch(prediction, cost, front_reward, front_cost, REFERENCE, 5)
    assert choose_batch(prediction, certain, front_reward, front_cost, REFERENCE, 5).tolist() == picks.tolist()


def test_expected_gain_grows_with_mean_and_uncertainty() -> None:
    front = staircase(*random_front(np.random.default_rng(0), 6), REFERENCE)
    cost = np.full(50, 0.4)
    by_mean = expected_hypervolume_improvement(
        Prediction.of_rewards(np.linspace(-1, 2, 50), np.full(50, 0.1)), cost, front
    )
    by_std = expected_hypervolume_improvement(
        Prediction.of_rewards(np.full(50, 0.2), np.linspace(0, 2, 50)), cost, front
    )
    assert (np.diff(by_mean) >= 0).all()
    assert by_mean[-1] > by_mean[0]
    assert (np.diff(by_std) >= -1e-15).all()
    assert by_std[-1] > by_std[0]


def test_batch_of_certain_candidates_is_greedy_for_hypervolume() -> None:
    rng = np.random.default_rng(3)
    front_reward, front_cost = random_front(rng, 5)
    reward, cost = rng.random(12), rng.random(12)
    picks = choose_batch(Prediction.of_rewards(reward, np.zeros(12)), cost, front_reward, front_cost, REFERENCE, 4)
    known_reward, known_cost = list(front_reward), list(front_cost)
    for pick in picks:
        volumes = [
            hypervolume([*known_reward, r], [*known_cost, c], REFERENCE) for r, c in zip(reward, cost, strict=True)
        ]
        if max(volumes) > hypervolume(known_reward, known_cost, REFERENCE) + 1e-12:
            assert volumes[pick] == pytest.approx(max(volumes))
        known_reward.append(reward[pick])
        known_cost.append(cost[pick])


def test_batch_is_spread_along_the_cost_axis() -> None:
    # Ten near-copies at each of five costs, all equally promising: one of each is worth more than two of one.
    cost = np.repeat(np.linspace(0.1, 0.9, 5), 10)
    mean = cost + np.linspace(0, 1e-3, 50)
    picks = choose_batch(Prediction.of_rewards(mean, np.full(50, 0.05)), cost, [], [], REFERENCE, 5)
    assert len(set(cost[picks])) == 5


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.floats(0, 1))
def test_picks_are_distinct_and_as_many_as_asked(seed: int, count: int, std: float) -> None:
    rng = np.random.default_rng(seed)
    # The front dominates everything, so that no gain is left where std is 0.
    prediction = Prediction.of_rewards(rng.random(20), np.full(20, std))
    picks = choose_batch(prediction, rng.random(20), [2.0], [-1.0], REFERENCE, count)
    assert len(picks) == len(set(picks.tolist())) == min(count, 20)


def test_without_any_gain_the_candidates_nearest_to_the_front_come_first() -> None:
    mean = np.array([0.1, 0.4, 0.3])
    picks = choose_batch(Prediction.of_rewards(mean, np.zeros(3)), np.full(3, 0.5), [0.9], [0.1], REFERENCE, 2)
    assert picks.tolist() == [1, 2]


def test_large_pool_is_filtered_in_a_twentieth_of_a_second() -> None:
    rng = np.random.default_rng(0)
    front_reward, front_cost = random_front(rng, 60)
    prediction = Prediction.of_rewards(rng.random(1000), np.full(1000, 0.1))
    arguments = prediction, rng.random(1000), front_reward, front_cost, REFERENCE, 12
    choose_batch(*arguments)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        choose_batch(*arguments)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05
