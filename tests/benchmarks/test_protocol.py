from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.search.protocol import best_within, compare, loss_of, resampled_hypervolume


def losses(seed: int, captions: int = 40, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.gamma(2.0, 0.5, size=(captions, 1))
    return hard * np.exp(0.1 * rng.normal(size=(captions, 2))) + shift


def test_a_loss_is_summarized_over_captions_not_images() -> None:
    values = losses(0)
    by_caption = values.mean(axis=1)
    found = loss_of(values)
    assert found.captions == 40
    assert found.mean == pytest.approx(by_caption.mean())
    assert found.median == pytest.approx(np.median(by_caption))
    assert found.trimmed == pytest.approx(np.sort(by_caption)[2:-2].mean())
    assert found.worst_tenth == pytest.approx(np.sort(by_caption)[-4:].mean())
    assert found.low < found.mean < found.high


def test_bootstrap_intervals_hold_the_mean_of_skewed_losses_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        found = loss_of(rng.gamma(0.5, 1.0, size=(96, 1)), seed=seed)
        held += found.low <= 0.5 <= found.high
    assert 0.90 <= held / 200 <= 0.99


def test_runs_are_compared_caption_by_caption() -> None:
    first, second = losses(1), losses(1, shift=0.05)
    found = compare(first, second)
    assert found.difference == pytest.approx(-0.05)
    assert found.decided
    assert found.won == 1.0
    noisy = second + np.random.default_rng(3).normal(scale=0.2, size=second.shape)
    expected = stats.wilcoxon(first.mean(axis=1) - noisy.mean(axis=1)).pvalue
    assert compare(first, noisy).p == pytest.approx(expected)


def test_a_run_beside_itself_is_neither_better_nor_worse() -> None:
    found = compare(losses(2), losses(2))
    assert (found.difference, found.won, found.p, found.decided) == (0.0, 0.5, 1.0, False)


def test_losses_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="not paired"):
        compare(losses(0), losses(0, captions=8))
    with pytest.raises(ValueError, match="at least 2"):
        loss_of(np.ones((1, 5)))


@given(st.lists(st.tuples(st.floats(0.1, 1.2), st.floats(-1, 0)), min_size=1, max_size=8), st.sampled_from([1.3, 4]))
def test_what_stands_for_a_search_never_costs_more_than_allowed(
    runs: list[tuple[float, float]], speedup: float
) -> None:
    costs, rewards = zip(*runs, strict=True)
    chosen = best_within(costs, rewards, 1.0, speedup)
    fitting = [reward for cost, reward in runs if cost <= 1 / speedup * (1 + 1e-6)]
    if chosen is None:
        assert not fitting
    else:
        assert costs[chosen] <= 1 / speedup * (1 + 1e-6)
        assert rewards[chosen] == max(fitting)


def test_hypervolume_is_told_for_each_floor_with_an_interval() -> None:
    good, bad = np.full((10, 1), 0.1), np.full((10, 1), 0.5)
    found = resampled_hypervolume([good, bad], [2.0, 4.0], [1.0, 0.4])
    # From a quarter of the cost the second run is there, from a half the first.
    assert found[1.0][0] == pytest.approx(0.25 * 0.5 + 0.5 * 0.9)
    assert found[0.4][0] == pytest.approx(0.5 * 0.75)
    varied = resampled_hypervolume([losses(4) / 5], [2.0], [1.0])[1.0]
    assert varied[1] < varied[0] < varied[2]
