from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate import Forecast, LogDrop

SCALE = LogDrop(uncached=2.0, spread=0.5)


def drops(count: int, seed: int = 0) -> Forecast:
    rng = np.random.default_rng(seed)
    return Forecast(rng.normal(-1.0, 1.5, count), rng.uniform(0.05, 1.0, count), SCALE)


def test_improvement_of_lognormal_drops_is_that_of_monte_carlo() -> None:
    forecast, levels = drops(10), np.array([1.0, 1.5, 1.9, 1.99])
    rng = np.random.default_rng(1)
    rewards = SCALE.reward(rng.normal(forecast.loss, forecast.loss_std, (40_000, 10)))
    gains = np.maximum(rewards[:, :, None] - levels, 0.0)
    error = gains.std(axis=0) / np.sqrt(len(gains))
    assert (np.abs(forecast.improvement(levels) - gains.mean(axis=0)) <= 5 * error + 1e-6).all()


def test_a_hopeless_candidate_promises_next_to_nothing_however_unsure_its_drop_is_in_units_of_reward() -> None:
    hopeless = Forecast(np.array([4.0]), np.array([0.5]), SCALE)
    as_gaussian = Forecast.of_rewards(hopeless.reward, hopeless.std)
    level = np.array([1.9])
    assert hopeless.improvement(level)[0, 0] < 1e-9
    assert as_gaussian.improvement(level)[0, 0] > 1e-3


@given(st.integers(0, 2**32 - 1))
def test_improvement_is_finite_and_falls_with_the_level(seed: int) -> None:
    forecast = Forecast(
        np.random.default_rng(seed).uniform(-8, 30, 20),
        np.random.default_rng(seed).uniform(0, 30, 20),
        SCALE,
    )
    found = forecast.improvement(np.linspace(-3, 2.5, 12))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found, axis=1) <= 1e-12).all()


def test_certain_drops_improve_by_what_they_are_above_the_level() -> None:
    forecast = Forecast(np.linspace(-3, 1, 9), np.zeros(9), SCALE)
    levels = np.array([1.2, 1.7])
    expected = np.maximum(forecast.reward[:, None] - levels, 0)
    assert forecast.improvement(levels) == pytest.approx(expected, abs=1e-7)


def test_optimism_is_above_the_median() -> None:
    forecast = drops(20)
    assert (forecast.optimistic() > forecast.reward).all()
    assert forecast.subset(np.array([3, 1])).reward == pytest.approx(forecast.reward[[3, 1]])
