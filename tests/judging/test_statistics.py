from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ecad_automl.judging.statistics import (
    Interval,
    bootstrap_interval,
    holm,
    paired_difference,
    probability_better,
    prompt_interval,
    unpaired_interval,
    win_rate,
)


def test_one_image_per_prompt_agrees_with_the_paired_t_statistic() -> None:
    rng = np.random.default_rng(0)
    scores, baseline = rng.normal(size=(30, 1)), rng.normal(size=(30, 1))
    found = paired_difference(scores, baseline)
    expected = stats.ttest_rel(scores[:, 0], baseline[:, 0]).statistic
    assert found.mean / found.standard_error == pytest.approx(expected)


def test_images_of_one_prompt_count_as_one_observation() -> None:
    rng = np.random.default_rng(1)
    by_prompt = rng.normal(size=(20, 1))
    repeated = np.repeat(by_prompt, 5, axis=1)
    zeros = np.zeros_like(repeated)
    many, one = paired_difference(repeated, zeros), paired_difference(by_prompt, zeros[:, :1])
    assert many.mean == pytest.approx(one.mean)
    assert many.standard_error == pytest.approx(one.standard_error)


def test_a_shared_shift_of_all_prompts_has_no_error() -> None:
    baseline = np.random.default_rng(2).normal(size=(10, 2))
    found = paired_difference(baseline - 0.5, baseline)
    assert found.mean == pytest.approx(-0.5)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


def test_one_prompt_gives_no_error() -> None:
    assert np.isnan(paired_difference(np.ones((1, 3)), np.zeros((1, 3))).standard_error)


def clustered(rng: np.random.Generator, sets: int, prompts: int, seeds: int) -> np.ndarray:
    """Differences with the mean 0.3 of which half of the variance is that of the prompt: (sets, prompts, seeds)."""
    shared = rng.normal(size=(sets, prompts, 1))
    return 0.3 + shared + rng.normal(size=(sets, prompts, seeds))


def coverage(intervals: list[Interval]) -> float:
    return float(np.mean([interval.low <= 0.3 <= interval.high for interval in intervals]))


@pytest.mark.parametrize("prompts", [5, 24])
def test_the_interval_covers_the_mean_as_often_as_it_says_where_seeds_of_a_prompt_are_alike(prompts: int) -> None:
    sets = clustered(np.random.default_rng(3), 4000, prompts, 4)
    # Four standard deviations of a share of 4000.
    assert coverage([prompt_interval(one) for one in sets]) == pytest.approx(0.95, abs=0.014)
    assert coverage([prompt_interval(one, 0.8) for one in sets]) == pytest.approx(0.8, abs=0.026)
    # Images taken for independent give intervals that are far too short.
    assert coverage([prompt_interval(one.ravel()) for one in sets[:1000]]) < 0.87


def test_the_interval_covers_somewhat_less_where_most_prompts_have_no_drop() -> None:
    rng = np.random.default_rng(4)
    drops = rng.exponential(1.0, size=(2000, 96)) * (rng.random((2000, 96)) < 0.3)
    assert coverage([prompt_interval(one) for one in drops]) == pytest.approx(0.91, abs=0.025)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(5).normal(size=(12, 3))
    found, by_prompt = prompt_interval(values, 0.9), values.mean(axis=1)
    expected = stats.ttest_1samp(by_prompt, 0.0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(by_prompt.mean())
    assert found.half == pytest.approx((expected.high - expected.low) / 2)


def test_the_interval_of_different_prompts_is_welchs() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(12, 2)), 3 * rng.normal(size=(40, 2))
    found = unpaired_interval(first, second)
    expected = stats.ttest_ind(first.mean(axis=1), second.mean(axis=1), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    same = unpaired_interval(np.ones(3), np.zeros(4))
    assert (same.low, same.mean, same.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("count", [0, 1])
def test_an_interval_needs_two_prompts(count: int) -> None:
    with pytest.raises(ValueError, match=f"not {count}"):
        prompt_interval(np.zeros((count, 4)))
    with pytest.raises(ValueError, match=f"not {count}"):
        probability_better(np.zeros((3, count)))


def test_the_probability_that_one_is_better_is_that_of_the_paired_t_test() -> None:
    runs = np.random.default_rng(7).normal(size=(4, 15))
    found = probability_better(runs)
    for one in range(4):
        for other in range(4):
            if one != other:
                p = stats.ttest_rel(runs[one], runs[other], alternative="greater").pvalue
                assert found[one, other] == pytest.approx(1 - p)
    np.testing.assert_allclose(found + found.T, 1.0)


def test_a_difference_without_spread_is_certain() -> None:
    found = probability_better(np.array([[1.0, 2.0, 3.0], [1.5, 2.5, 3.5], [1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(found, [[0.5, 0, 0.5], [1, 0.5, 1], [0.5, 0, 0.5]])


def test_holm_is_the_textbook_one_and_bounds_false_findings_among_dependent_comparisons() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_array_equal(holm(np.array([0.6, 0.9])), [1.0, 1.0])
    assert holm(np.zeros(0)).shape == (0,)
    shared = np.random.default_rng(8).normal(size=(2000, 1, 16))
    noise = np.random.default_rng(9).normal(size=(2000, 12, 16))
    p_values = 2 * stats.t.sf(np.abs(stats.ttest_1samp(shared + noise, 0.0, axis=2).statistic), 15)
    found = np.array([(holm(row) <= 0.05).any() for row in p_values])
    assert found.mean() < 0.065
    assert (p_values <= 0.05).any(axis=1).mean() > 0.15


def test_the_bootstrap_covers_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for draw in range(200):
        found = bootstrap_interval(rng.gamma(4.0, 1.0, size=60), resamples=999, seed=draw)
        inside += found.low <= 4.0 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_the_bootstrap_counts_prompts_not_images() -> None:
    by_prompt = np.random.default_rng(0).normal(size=30)
    once, copied = bootstrap_interval(by_prompt), bootstrap_interval(np.repeat(by_prompt[:, None], 8, axis=1))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_the_bootstrap_of_equal_values_has_no_width() -> None:
    found = bootstrap_interval(np.full((5, 2), 0.25))
    assert (found.low, found.mean, found.high) == (0.25, 0.25, 0.25)


def test_the_bootstrap_needs_two_prompts() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_interval(np.zeros((1, 5)))


@pytest.mark.parametrize(("higher", "expected"), [(True, 0.625), (False, 0.375)])
def test_ties_are_half_a_win(higher: bool, expected: float) -> None:
    scores, baseline = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[0.0, 2.0], [4.0, 0.0]])
    assert win_rate(scores, baseline, higher_is_better=higher) == expected
