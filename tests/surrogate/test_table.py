from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecad_automl.errors import StudyError
from surrogate import TableSurrogate, bit_features, inside_interval


def samples(count: int, seed: int, bits: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Bits of any share of ones, and a sum over them with a few products."""
    rng = np.random.default_rng(seed)
    found = rng.random((count, bits)) < rng.random((count, 1))
    weights = np.random.default_rng(0).normal(size=bits)
    return bit_features(found), found @ weights + 2.0 * (found[:, 0] & found[:, 1]) - 300.0


def test_it_ranks_and_its_intervals_hold_on_what_it_has_not_seen() -> None:
    surrogate = TableSurrogate().fit(*samples(120, 1))
    x, y = samples(200, 2)
    forecast = surrogate.predict(x)
    assert spearmanr(forecast.reward, y).statistic > 0.9
    assert 0.75 < inside_interval(forecast.reward, forecast.std, y).mean() <= 1.0
    assert np.abs(forecast.reward - y).mean() < 0.5 * np.abs(y - y.mean()).mean()


def test_equal_seeds_and_data_give_equal_predictions_in_any_unit() -> None:
    (x, y), (new, _) = samples(40, 1), samples(10, 2)
    first, again = (TableSurrogate(3).fit(x, y).predict(new) for _ in range(2))
    assert np.array_equal(first.reward, again.reward)
    other = TableSurrogate(3).fit(x, 1000.0 * y + 7.0).predict(new)
    assert other.reward == pytest.approx(1000.0 * first.reward + 7.0, rel=1e-6)
    assert other.std == pytest.approx(1000.0 * first.std, rel=1e-5)


def test_values_that_do_not_vary_are_predicted_as_they_are() -> None:
    forecast = TableSurrogate().fit(samples(20, 1)[0], np.full(20, 4.0)).predict(samples(5, 2)[0])
    assert forecast.reward == pytest.approx(np.full(5, 4.0))
    assert np.isfinite(forecast.std).all()


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((7, 2)), np.zeros(7), "at least 8"),
        (np.zeros((9, 2)), np.zeros(8), r"\(9, 2\) and values of \(8,\)"),
        (np.zeros(9), np.zeros(9), r"\(n, k\)"),
        (np.full((9, 2), np.nan), np.zeros(9), "must be finite"),
        (np.zeros((9, 2)), np.full(9, np.inf), "not finite"),
    ],
)
def test_samples_that_are_unfit_are_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        TableSurrogate().fit(x, y)


def test_nothing_is_predicted_before_a_fit() -> None:
    with pytest.raises(StudyError, match="call fit first"):
        TableSurrogate().predict(np.zeros((1, 2)))
