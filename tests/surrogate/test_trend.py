from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate import DriftTrend, fit_drift_trend
from surrogate._prediction import LogDrop

STEPS, GROUPS = 12, 4


def drifts(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(0.7, size=(count, STEPS, GROUPS)) * rng.uniform(0.01, 1, (count, 1, 1))


def test_weights_of_a_curve_of_weighted_drift_are_found() -> None:
    drift = drifts(400)
    step_weights, group_weights = np.exp(np.sin(np.arange(STEPS) / 2)), np.array([0.3, 1.0, 2.0, 1.0])
    log_drop = 0.8 * np.log(np.einsum("ntg,t,g->n", drift, step_weights, group_weights) + 0.05) - 1.0
    model = fit_drift_trend(drift, log_drop)
    assert np.corrcoef(np.log(model.step_weights), np.log(step_weights))[0, 1] > 0.98
    assert np.corrcoef(np.log(model.group_weights), np.log(group_weights))[0, 1] > 0.98
    assert model.predict(drifts(50, seed=1)) == pytest.approx(
        0.8 * np.log(np.einsum("ntg,t,g->n", drifts(50, seed=1), step_weights, group_weights) + 0.05) - 1.0, abs=0.1
    )


@given(st.integers(0, 2**32))
def test_more_drift_is_never_predicted_to_harm_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = fit_drift_trend(drifts(10, seed), rng.normal(size=10))
    less = drifts(5, seed + 1)
    assert (model.predict(less + rng.random(less.shape)) >= model.predict(less)).all()


def test_steps_that_nothing_was_learned_of_weigh_like_the_others() -> None:
    drift = drifts(30)
    drift[:, 6:] = 0
    model = fit_drift_trend(drift, np.log(drift.sum(axis=(1, 2))))
    assert model.step_weights[8:] == pytest.approx(model.step_weights[8], rel=0.2)
    assert 0.3 < model.step_weights[8] / model.step_weights[:6].mean() < 3


def test_no_drift_at_all_is_no_fault() -> None:
    model = fit_drift_trend(np.zeros((9, STEPS, GROUPS)), np.full(9, -2.0))
    assert model.predict(np.zeros((3, STEPS, GROUPS))) == pytest.approx(np.full(3, -2.0), abs=0.05)


@given(st.floats(-100, 100), st.floats(0.001, 100), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_log_drops_lead_back_to_rewards(uncached: float, spread: float, drops: list[float]) -> None:
    scale = LogDrop(uncached, spread)
    rewards = uncached - np.array(drops) * spread
    assert scale.reward(scale.of(rewards)) == pytest.approx(rewards, abs=1e-9 * (1 + abs(uncached)))


def test_rewards_far_above_the_uncached_one_count_as_slightly_above() -> None:
    scale = LogDrop(1.0, 2.0)
    assert 1.0 < scale.reward(scale.of(np.array([50.0])))[0] < 1.1


def test_an_error_of_a_log_drop_is_worth_more_where_the_drop_is_large() -> None:
    scale = LogDrop(0.0, 4.0)
    log_drop = scale.of(np.array([-0.1, -3.0]))
    numeric = (scale.reward(log_drop) - scale.reward(log_drop + 1e-6)) / 1e-6
    assert scale.slope(log_drop) == pytest.approx(numeric, rel=1e-4)


def test_a_center_stands_in_for_what_the_data_do_not_say_and_gives_way_to_what_they_do() -> None:
    old, new = np.exp(np.sin(np.arange(STEPS) / 2)), np.exp(np.cos(np.arange(STEPS) / 2))
    groups = np.array([0.3, 1.0, 2.0, 1.0])

    def log_drop(drift: np.ndarray, step_weights: np.ndarray) -> np.ndarray:
        return 0.8 * np.log(np.einsum("ntg,t,g->n", drift, step_weights, groups) + 0.05)

    def error(count: int, step_weights: np.ndarray, center: DriftTrend | None) -> float:
        drift, unseen = drifts(count, seed=5), drifts(200, seed=6)
        model = fit_drift_trend(drift, log_drop(drift, step_weights) - 2.0, center=center)
        return float(np.std(model.predict(unseen) - log_drop(unseen, step_weights)))

    center = fit_drift_trend(drifts(300), log_drop(drifts(300), old))
    assert error(8, old, center) < 0.4 * error(8, old, None)
    assert error(400, new, center) == pytest.approx(error(400, new, None), abs=0.02)
    assert fit_drift_trend(drifts(8), log_drop(drifts(8), old) - 2.0, center=center).level != pytest.approx(
        center.level, abs=1
    )
