from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from studies.confirmation import Run, Verdicts, front_share, judge, mean_optimism

PROMPTS, SEEDS = 24, 2


def run(key: str, cost: float, scores: np.ndarray, **fields: Any) -> Run:
    return Run(key, key, cost, scores, **{"chosen": True, **fields})


def noisy(rng: np.random.Generator, means: list[float], noise: float = 0.1, prompts: int = PROMPTS) -> list[np.ndarray]:
    """Scores of runs whose prompts differ much, and each run's differences to them by prompt and seed."""
    hardness = rng.normal(size=(prompts, 1))
    return [
        hardness + mean + noise * (rng.normal(size=(prompts, 1)) + rng.normal(size=(prompts, SEEDS))) for mean in means
    ]


def verdicts_of(runs: list[Run]) -> Verdicts:
    return judge(runs, runs[-1].scores, resamples=50)


@st.composite
def some_runs(draw: st.DrawFn) -> list[Run]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, prompts = draw(st.integers(1, 8)), draw(st.integers(2, 12))
    costs = [float(draw(st.integers(1, 6))) for _ in range(count)]
    scale = draw(st.sampled_from([0.0, 0.01, 1.0]))
    # Whole means give exact ties, and constant differences where there is no noise.
    means = [float(draw(st.integers(-2, 2))) for _ in range(count)]
    return [run(str(i), c, s) for i, (c, s) in enumerate(zip(costs, noisy(rng, means, scale, prompts), strict=True))]


@settings(max_examples=100)
@given(some_runs())
def test_the_cheapest_always_survives_and_what_is_dominated_with_certainty_never_does(runs: list[Run]) -> None:
    found = verdicts_of(runs)
    cheapest = min(runs, key=lambda one: (one.cost, -one.scores.mean()))
    # Of several at the lowest cost, the best one.
    assert found.of(cheapest.key).survives  # type: ignore[union-attr]
    for verdict in found.all:
        mine = verdict.run
        for other in runs:
            gain = (other.scores - mine.scores).mean(axis=1)
            certain = (gain > 0).all() and np.ptp(gain) < 1e-9
            if other is not mine and other.cost <= mine.cost and certain:
                assert not verdict.survives
        if verdict.beaten_by is not None:
            assert verdict.beaten_by.cost <= mine.cost
            assert verdict.beaten_by.scores.mean() >= mine.scores.mean()
        else:
            assert not verdict.beaten_surely


def test_a_dearer_run_that_loses_on_every_prompt_is_beaten_by_name() -> None:
    good, bad, best = noisy(np.random.default_rng(0), [-0.1, -0.5, 0.0])
    found = verdicts_of([run("cheap", 1.0, good), run("dear", 2.0, bad), run("full", 4.0, best)])
    assert [verdict.survives for verdict in found.all] == [True, False, True]
    loser = found.of("dear")
    assert loser is not None
    assert loser.beaten_by is not None
    assert loser.beaten_by.key == "cheap"
    assert loser.beaten_surely
    assert loser.front_share == 0.0
    assert [one.run.key for one in found.survivors] == ["cheap", "full"]


def test_a_difference_within_the_paired_interval_beats_nobody() -> None:
    first, second = noisy(np.random.default_rng(1), [0.0, -0.001], noise=1.0)
    found = judge([run("a", 1.0, first), run("b", 2.0, second)], first)
    assert all(verdict.survives for verdict in found.all)


def test_pairing_shows_what_the_spread_of_prompts_hides() -> None:
    first, second = noisy(np.random.default_rng(2), [0.0, -0.1], noise=0.05)
    assert stats.ttest_ind(first.mean(axis=1), second.mean(axis=1)).pvalue > 0.5
    assert not judge([run("a", 1.0, first), run("b", 2.0, second)], first).all[1].survives


def test_the_same_images_for_more_are_beaten_and_for_the_same_cost_are_not() -> None:
    (scores,) = noisy(np.random.default_rng(3), [0.0])
    found = judge([run("a", 1.0, scores), run("b", 1.0, scores), run("c", 2.0, scores)], scores)
    assert [verdict.survives for verdict in found.all] == [True, True, False]
    assert found.all[2].beaten_surely


def test_an_equal_run_is_beaten_by_chance_as_often_as_the_interval_says_and_hardly_ever_surely() -> None:
    rng = np.random.default_rng(4)
    lost, surely, sets = 0, 0, 500
    for _ in range(sets):
        runs = [run(str(i), float(i), s) for i, s in enumerate(noisy(rng, [0.0, 0.0], prompts=12))]
        lost += not judge(runs, np.zeros((12, SEEDS)), resamples=2).all[1].survives
    assert lost / sets == pytest.approx(0.025, abs=0.02)
    for _ in range(120):
        runs = [run(str(i), float(i), s) for i, s in enumerate(noisy(rng, [0.0] * 12, prompts=12))]
        surely += any(verdict.beaten_surely for verdict in judge(runs, np.zeros((12, SEEDS)), resamples=2).all)
    assert surely / 120 < 0.09


def test_differences_to_the_uncached_run_have_the_paired_interval() -> None:
    cached, uncached = noisy(np.random.default_rng(5), [-0.2, 0.0])
    (verdict,) = judge([run("a", 1.0, cached)], uncached).all
    expected = stats.ttest_rel(cached.mean(axis=1), uncached.mean(axis=1)).confidence_interval(0.95)
    assert (verdict.difference.low, verdict.difference.high) == pytest.approx((expected.low, expected.high))
    assert verdict.reward == pytest.approx(cached.mean())
    np.testing.assert_array_equal(verdict.differences, cached - uncached)


def test_the_share_on_the_front_agrees_with_fresh_prompts() -> None:
    rng = np.random.default_rng(7)
    costs = np.array([1.0, 2.0, 2.0])

    def means() -> np.ndarray:
        return np.stack(noisy(rng, [0.0, 0.01, 0.005], prompts=60)).mean(axis=2)

    fresh = np.stack([means().mean(axis=1) for _ in range(1500)])
    true = np.mean(
        [[1, b > max(a, c), c > max(a, b)] for a, b, c in fresh],
        axis=0,
    )
    guessed = np.mean([front_share(means(), costs, resamples=200) for _ in range(200)], axis=0)
    np.testing.assert_allclose(guessed, true, atol=0.08)


def test_optimism_is_measured_against_the_uncached_run_of_each_set_of_prompts() -> None:
    rng = np.random.default_rng(8)
    cached, uncached = noisy(rng, [-0.3, 0.0])
    searched, before = noisy(rng, [-0.1 + 5, 0.0 + 5])  # prompts of the search are easier, for both alike
    found = judge([run("a", 1.0, cached, searched=searched - before), run("b", 1.5, cached)], uncached)
    assert found.all[0].optimism == pytest.approx(0.2, abs=0.1)
    assert found.all[1].optimism is None
    mean = mean_optimism(found.all)
    assert mean is not None
    expected = stats.ttest_ind(
        (searched - before).mean(axis=1), (cached - uncached).mean(axis=1), equal_var=False
    ).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((expected.low, expected.high))
    assert mean_optimism(found.all[1:]) is None


def test_the_maximum_of_noise_is_optimistic_and_fresh_prompts_show_it() -> None:
    """Of many equal schedules the best is chosen: unseen prompts find the gain that it never had."""
    rng = np.random.default_rng(9)
    gains = []
    for _ in range(100):
        draws = rng.normal(size=(20, PROMPTS, SEEDS))
        chosen = draws[draws.mean(axis=(1, 2)).argmax()]
        fresh = rng.normal(size=(PROMPTS, SEEDS))
        verdict = judge([run("a", 1.0, fresh, searched=chosen)], np.zeros((PROMPTS, SEEDS)), resamples=2).all[0]
        gains.append(verdict.optimism)
    # The largest of 20 means of 48 draws is 1.87 standard deviations up.
    assert np.mean(gains) == pytest.approx(1.87 / np.sqrt(PROMPTS * SEEDS), abs=0.08)  # type: ignore[arg-type]


def test_rank_correlation_and_neighbors() -> None:
    rng = np.random.default_rng(10)
    scores = noisy(rng, [-3.0, -1.0, -2.0, 0.0], noise=0.01)
    searched = [np.full((PROMPTS, SEEDS), value) for value in (-3.0, -2.0, -1.0, 0.0)]
    runs = [run(str(i), i + 1.0, s, searched=d) for i, (s, d) in enumerate(zip(scores, searched, strict=True))]
    found = judge(runs, scores[-1])
    assert found.rank_correlation == pytest.approx(stats.kendalltau([-3, -2, -1, 0], [-3, -1, -2, 0]).statistic)
    assert found.neighbors_kept == (2, 3)
    assert np.isnan(judge(runs[:1], scores[-1]).rank_correlation)


def test_one_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="not 1"):
        judge([run("a", 1.0, np.zeros((1, 3)))], np.zeros((1, 3)))
