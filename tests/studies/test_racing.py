from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from studies import attributes
from studies.racing import Race, forecast
from surrogate import Reference

REFERENCE = Reference(reward=0.0, cost=10.0)


def scores(mean: float, seed: int = 0, noise: float = 0.05, seeds: int = 4) -> np.ndarray:
    return mean + noise * np.random.default_rng(seed).normal(size=(6, seeds))


def test_forecasts_hold_what_they_say() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        prompts = rng.normal(size=(6, 1))  # what prompts have in common does not matter: differences are paired
        incumbent = prompts + 0.1 * rng.normal(size=(6, 4))
        candidate = prompts + 0.1 * rng.normal(size=(6, 4)) + 0.02
        found = forecast(candidate[:, :1], incumbent)
        inside.append(abs(candidate.mean() - found.reward[0]) <= 1.645 * found.std[0])
    # Six differences tell their own spread only roughly, so a little less than 90 %.
    assert 0.8 < np.mean(inside) < 0.92


def race(least: float = 1.0) -> Race:
    found = Race(REFERENCE, images=24, least=least)
    found.add(5.0, scores(0.5), bred=False)
    for number in range(10):
        found.add(5.0 - 0.1 * number, scores(0.5 + 0.001 * number, seed=number), bred=True)
    return found


def test_a_hopeless_candidate_is_stopped_and_a_promising_one_goes_on() -> None:
    assert not race().goes_on(5.0, scores(0.2)[:, :1])
    assert race().goes_on(3.0, scores(0.6)[:, :1])


def test_nobody_is_stopped_before_it_is_known_what_candidates_bring_or_where_none_is_cheaper() -> None:
    fresh = Race(REFERENCE, images=24, least=1.0)
    fresh.add(5.0, scores(0.5), bred=False)
    assert fresh.goes_on(5.0, scores(0.0)[:, :1])
    assert race().goes_on(0.1, scores(0.1)[:, :1])


def test_a_share_of_zero_stops_nobody() -> None:
    assert race(least=0.0).goes_on(5.0, scores(-5.0)[:, :1])


def test_a_racing_search_spends_its_images_on_more_candidates(bench: Any) -> None:
    evaluator = bench.evaluator(seeds=4)
    status = bench.run(evaluator, evaluations=60, race=1.0)
    pruned = [trial for trial in bench.trials() if trial.state.name == "PRUNED"]
    assert pruned
    assert status.stopped == len(pruned)
    assert status.evaluations == len(bench.complete()) + len(pruned) > 60
    shares = [trial.user_attrs[attributes.IMAGE_SHARE] for trial in pruned]
    assert set(shares) <= {0.25, 0.5, 0.75}
    assert status.images == pytest.approx(len(bench.complete()) + sum(shares), abs=1e-9)
    assert 60 <= status.images < 61


def test_a_racing_search_that_was_broken_off_goes_on_as_if_it_had_not_been(bench: Any) -> None:
    bench.run(bench.evaluator(seeds=4), study="whole", evaluations=50, race=1.0)
    bench.run(bench.evaluator(seeds=4), study="parts", evaluations=33, race=1.0)
    bench.run(bench.evaluator(seeds=4), study="parts", evaluations=50, race=1.0)

    def story(study: str) -> list[tuple[str, str]]:
        return [(trial.user_attrs[attributes.GENOME], trial.state.name) for trial in bench.trials(study)]

    assert story("whole") == story("parts")
