from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate import LogDrop, Prediction

SCALE = LogDrop(uncached=2.0, spread=0.5)


def drops(count: int, seed: int = 0) -> Prediction:
    rng = np.random.default_rng(seed)
    return Prediction(rng.normal(-1.0, 1.5, count), rng.uniform(0.05, 1.0, count), SCALE)


def test_improvement_of_lognormal_drops_is_in_their_logarithm_and_that_of_monte_carlo() -> None:
    prediction, levels = drops(10), np.array([1.0, 1.5, 1.9, 1.97])
    rng = np.random.default_rng(1)
    loss = rng.normal(prediction.loss, prediction.loss_std, (40_000, 10))
    gains = np.maximum(SCALE.of(levels) - loss[:, :, None], 0.0)
    error = gains.std(axis=0) / np.sqrt(len(gains))
    assert (np.abs(prediction.improvement(levels) - gains.mean(axis=0)) <= 5 * error + 2e-5).all()


def test_to_halve_a_small_drop_is_worth_as_much_as_to_halve_a_large_one() -> None:
    drops_of, certain = np.log([0.05, 0.5]), np.zeros(2)
    found = Prediction(drops_of, certain, SCALE).improvement(SCALE.reward(np.log([0.1, 1.0])))
    assert np.diag(found) == pytest.approx([np.log(2), np.log(2)])


def test_a_hopeless_candidate_promises_next_to_nothing_however_unsure_its_drop_is_in_units_of_reward() -> None:
    hopeless = Prediction(np.array([4.0]), np.array([0.5]), SCALE)
    as_gaussian = Prediction.of_rewards(hopeless.reward, hopeless.std)
    level = np.array([1.9])
    assert hopeless.improvement(level)[0, 0] < 1e-9
    assert as_gaussian.improvement(level)[0, 0] > 1e-3


@given(st.integers(0, 2**32 - 1))
def test_improvement_is_finite_and_falls_with_the_level(seed: int) -> None:
    prediction = Prediction(
        np.random.default_rng(seed).uniform(-8, 30, 20),
        np.random.default_rng(seed).uniform(0, 30, 20),
        SCALE,
    )
    found = prediction.improvement(np.linspace(-3, 2.5, 12))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found, axis=1) <= 1e-12).all()


def test_certain_drops_improve_by_what_they_are_above_the_level() -> None:
    prediction = Prediction(np.linspace(-3, 1, 9), np.zeros(9), SCALE)
    levels = np.array([1.2, 1.7])
    expected = np.maximum(SCALE.of(levels) - prediction.loss[:, None], 0)
    assert prediction.improvement(levels) == pytest.approx(expected, abs=1e-7)


def test_optimism_is_above_the_median() -> None:
    prediction = drops(20)
    assert (prediction.optimistic() > prediction.reward).all()
    assert prediction.subset(np.array([3, 1])).reward == pytest.approx(prediction.reward[[3, 1]])
