from __future__ import annotations

import numpy as np
import pytest

from surrogate import Reference, choose_batch, expected_hypervolume_gain, hypervolume, hypervolume_gain, staircase

REFERENCE = Reference(-1.0, 10.0)
FRONT_REWARD = np.array([-0.8, -0.3, 0.0, 0.2])
FRONT_COST = np.array([1.0, 3.0, 6.0, 9.0])


def test_expected_gain_is_the_monte_carlo_mean() -> None:
    rng = np.random.default_rng(0)
    front = staircase(FRONT_REWARD, FRONT_COST, REFERENCE)
    mean, std, cost = np.array([-0.5, 0.0, 0.1, -0.9]), np.array([0.1, 0.3, 0.05, 0.2]), np.array([2.0, 4.0, 8.0, 0.5])
    draws = rng.normal(mean, std, (20_000, 4))
    sampled = np.mean([hypervolume_gain(row, cost, front) for row in draws], axis=0)
    assert expected_hypervolume_gain(mean, std, cost, front) == pytest.approx(sampled, rel=0.05, abs=0.005)


def test_without_uncertainty_it_is_the_gain_itself() -> None:
    front = staircase(FRONT_REWARD, FRONT_COST, REFERENCE)
    reward, cost = np.array([-0.5, 0.1, -2.0]), np.array([2.0, 4.0, 1.0])
    expected = hypervolume_gain(reward, cost, front)
    assert expected_hypervolume_gain(reward, np.zeros(3), cost, front) == pytest.approx(expected)


def test_the_first_pick_is_the_best_and_all_picks_differ() -> None:
    rng = np.random.default_rng(1)
    mean, cost = rng.uniform(-1, 0.3, 200), rng.uniform(0, 10, 200)
    picks = choose_batch(mean, np.full(200, 1e-6), cost, FRONT_REWARD, FRONT_COST, REFERENCE, 12)
    volumes = [
        hypervolume(np.append(FRONT_REWARD, m), np.append(FRONT_COST, c), REFERENCE)
        for m, c in zip(mean, cost, strict=True)
    ]
    assert picks[0] == int(np.argmax(volumes))
    assert len(set(picks)) == 12


def test_picks_spread_along_the_cost_axis() -> None:
    """Many copies of one good candidate do not crowd out the others."""
    mean = np.concatenate([np.full(50, 0.3), np.full(5, -0.2)])
    cost = np.concatenate([np.full(50, 5.0) + np.arange(50) * 1e-3, np.full(5, 2.0) + np.arange(5) * 1e-3])
    picks = choose_batch(mean, np.full(55, 1e-9), cost, FRONT_REWARD, FRONT_COST, REFERENCE, 2)
    assert sorted(cost[picks].round()) == [2.0, 5.0]


def test_no_more_picks_than_candidates() -> None:
    assert len(choose_batch([0.0], [0.1], [5.0], FRONT_REWARD, FRONT_COST, REFERENCE, 12)) == 1
