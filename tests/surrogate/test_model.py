from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ecad_automl.errors import ScheduleError, StudyError
from surrogate import FeatureContext, Surrogate, banded_rank_correlation, features_and_drift, group_drift

STEPS, BLOCKS, COMPONENTS = 20, 8, 3
SLOTS = BLOCKS * COMPONENTS
BLOCK, COMPONENT = np.repeat(np.arange(BLOCKS), COMPONENTS), np.tile(np.arange(COMPONENTS), BLOCKS)
MACS = np.array([3, 2, 5])[COMPONENT].astype(np.int64)


def context(seed: int = 0) -> FeatureContext:
    pace = np.random.default_rng(seed).uniform(0.02, 0.3, (SLOTS, 1, 1))
    apart = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
    return FeatureContext(BLOCK, COMPONENT, MACS, 1 - np.exp(-pace * apart))


def schedules(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    bits = rng.random((count, STEPS, SLOTS)) < rng.uniform(0.1, 0.9, (count, 1, 1))
    bits[:, 0] = True
    return bits


def reward(bits: np.ndarray) -> np.ndarray:
    """Errors that compound: drift weighted by step, more where neighbours drift too. No column of the features."""
    drift = context().drift
    at = np.arange(STEPS)[None, :, None]
    last = np.maximum.accumulate(np.where(bits, at, 0), axis=1)
    error = drift[np.arange(SLOTS)[None, None, :], at, last] * np.linspace(0.5, 1.5, STEPS)[None, :, None]
    by_block = error.reshape(len(bits), STEPS, BLOCKS, COMPONENTS).sum(axis=3)
    return -np.log1p((by_block[:, :, 1:] * by_block[:, :, :-1]).sum(axis=(1, 2)) + by_block.sum(axis=(1, 2)))


def features(bits: np.ndarray) -> np.ndarray:
    return features_and_drift(bits, context())[0]


def test_features_are_finite_and_each_schedule_stands_for_itself() -> None:
    bits = schedules(7)
    found = features(bits)
    assert np.isfinite(found).all()
    assert features(bits[2:3])[0] == pytest.approx(found[2])


def test_features_of_the_uncached_run_are_its_computes_alone() -> None:
    """Drift, reuse and fully reused steps are 0; of each component all is computed in each third, and all MACs."""
    (found,) = features(np.ones((1, STEPS, SLOTS), dtype=np.bool_))
    assert found[found != 0] == pytest.approx(np.ones(3 * COMPONENTS + 1))


def test_drift_by_groups_is_that_of_the_features() -> None:
    drift = group_drift(schedules(5), context())
    assert np.array_equal(features_and_drift(schedules(5), context())[1], drift)
    # The first features are sums over bands of steps.
    bands = np.arange(STEPS) * 6 // STEPS
    by_band = np.stack([drift[:, bands == band].sum(axis=(1, 2)) for band in range(6)], axis=1)
    assert features(schedules(5))[:, :6] == pytest.approx(by_band)


def predicted(model: Surrogate, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    forecast = model.predict(bits)
    return forecast.reward, forecast.std


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ScheduleError, match="one of each is needed"):
        FeatureContext(BLOCK, COMPONENT[:-1], MACS, context().drift)
    with pytest.raises(ScheduleError, match="drift"):
        FeatureContext(BLOCK, COMPONENT, MACS, np.zeros((3, 2, 2)))


@pytest.mark.parametrize(("count", "correlation"), [(24, 0.5), (150, 0.6)])
def test_the_surrogate_ranks_unseen_schedules_of_equal_cost(count: int, correlation: float) -> None:
    seen, unseen = schedules(count, seed=1), schedules(300, seed=2)
    mean, std = predicted(Surrogate(context()).fit(seen, reward(seen)), unseen)
    cost = unseen.mean(axis=1) @ MACS
    assert banded_rank_correlation(mean, reward(unseen), cost, bands=12) > correlation
    inside = np.abs(reward(unseen) - mean) <= 1.645 * std
    assert 0.75 < inside.mean() <= 1.0


def test_rewards_may_be_in_any_unit() -> None:
    seen, unseen = schedules(60, seed=1), schedules(20, seed=2)
    mean, std = predicted(Surrogate(context()).fit(seen, reward(seen)), unseen)
    other_mean, other_std = predicted(Surrogate(context()).fit(seen, 100 * reward(seen) + 7), unseen)
    assert other_mean == pytest.approx(100 * mean + 7, rel=1e-3)
    assert other_std == pytest.approx(100 * std, rel=1e-2)


def test_rewards_that_rise_under_caching_are_learned_without_fault() -> None:
    seen = schedules(40)
    mean, std = predicted(Surrogate(context()).fit(seen, -reward(seen)), seen)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert (std > 0).all()


def test_equal_seeds_and_data_predict_the_same() -> None:
    seen, unseen = schedules(60, seed=1), schedules(20, seed=2)
    first, second = (predicted(Surrogate(context(), seed=3).fit(seen, reward(seen)), unseen) for _ in range(2))
    assert np.array_equal(first, second)


def test_what_counts_less_is_learned_less() -> None:
    seen, unseen = schedules(60, seed=1), schedules(100, seed=2)
    wrong = np.arange(60) % 3 == 0
    rewards = np.where(wrong, reward(seen)[::-1], reward(seen))
    light = Surrogate(context()).fit(seen, rewards, np.where(wrong, 0.01, 1.0)).predict(unseen)
    full = Surrogate(context()).fit(seen, rewards).predict(unseen)
    error = [np.abs(forecast.reward - reward(unseen)).mean() for forecast in (light, full)]
    assert error[0] < 0.8 * error[1]


def test_a_narrow_range_of_interest_tells_small_drops_apart() -> None:
    seen, unseen = schedules(80, seed=1), schedules(200, seed=2)
    rewards = reward(seen)
    small = np.ptp(rewards) * 0.1
    good = reward(unseen) > reward(unseen).max() - small
    narrow, wide = (Surrogate(context(), spread=spread).fit(seen, rewards) for spread in (small, None))
    error = [np.abs(model.predict(unseen[good]).reward - reward(unseen[good])).mean() for model in (narrow, wide)]
    assert error[0] <= 1.05 * error[1]


def test_useless_data_are_refused() -> None:
    bits = schedules(10)
    with pytest.raises(StudyError, match="at least"):
        Surrogate(context()).fit(bits[:3], np.zeros(3))
    with pytest.raises(StudyError, match="not finite"):
        Surrogate(context()).fit(bits, np.full(10, np.nan))
    with pytest.raises(StudyError, match="fitted"):
        Surrogate(context()).predict(bits)


def test_equal_rewards_are_predicted_as_such() -> None:
    bits = schedules(20)
    mean, _ = predicted(Surrogate(context()).fit(bits, np.full(20, 3.0)), bits)
    assert mean == pytest.approx(np.full(20, 3.0))


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import sys, surrogate; assert not {'torch', 'optuna', 'lightgbm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
