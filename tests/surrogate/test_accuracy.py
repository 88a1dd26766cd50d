from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from surrogate import banded_rank_correlation, interval_coverage, measure_accuracy


def test_a_model_that_knows_only_cost_is_not_trusted() -> None:
    rng = np.random.default_rng(0)
    cost = rng.uniform(0, 10, 600)
    reward = cost + rng.normal(0, 0.1, 600)
    predicted = cost + rng.normal(0, 0.1, 600)
    assert stats.spearmanr(predicted, reward).statistic > 0.99
    narrow = banded_rank_correlation(predicted, reward, np.round(cost), bands=10)
    within = banded_rank_correlation(rng.permuted(predicted), reward, cost, bands=10)
    assert abs(within) < 0.2
    assert narrow > within


def test_one_band_is_the_rank_correlation() -> None:
    rng = np.random.default_rng(1)
    predicted, actual = rng.normal(size=40), rng.normal(size=40)
    expected = stats.spearmanr(predicted, actual).statistic
    assert banded_rank_correlation(predicted, actual, np.zeros(40), bands=1) == pytest.approx(expected)


def test_too_few_candidates_give_no_figure() -> None:
    assert np.isnan(banded_rank_correlation([1.0, 2.0], [1.0, 2.0], [1.0, 1.0]))


def test_coverage_of_gaussian_errors_is_the_level() -> None:
    rng = np.random.default_rng(2)
    mean, std = rng.normal(size=5000), rng.uniform(0.5, 2, 5000)
    assert interval_coverage(mean, std, mean + std * rng.normal(size=5000)) == pytest.approx(0.9, abs=0.02)
    assert measure_accuracy(mean, std, mean + 100, np.ones(5000), 0.1).coverage == 0.0
