from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from studies import attributes
from studies.early_stopping import Race
from surrogate import LogDrop, Prediction, Reference

REFERENCE = Reference(reward=-1.0, cost=10.0)
UNCACHED = np.zeros((6, 4))
#: Some images suffer much more than others under any schedule.
ANSWERS = np.random.default_rng(9).gamma(0.5, 2.0, size=(6, 4))
ANSWERS /= ANSWERS.mean()


def scores(drop: float, seed: int = 0) -> np.ndarray:
    return -drop * ANSWERS * np.exp(0.1 * np.random.default_rng(seed).normal(size=(6, 4)))


def race(least: float = 1.0, seeds: int = 16, bred: int = 10) -> Race:
    """A front of seeds from 9 to 3, and bred candidates that have improved it a little."""
    found = Race(UNCACHED, REFERENCE, least)
    for number in range(seeds):
        found.add(9.0 - 0.4 * number, scores(0.02 * 1.25**number, seed=number), bred=False)
    for number in range(bred):
        found.add(8.99 - 0.4 * number, scores(0.019 * 1.25**number, seed=number), bred=True)
    return found


def seen(found: Race, drop: float, seed: int = 77) -> np.ndarray:
    """The anchors' scores alone."""
    first, rest = found.parts(found.anchors())
    partial = scores(drop, seed).ravel()
    partial[rest] = np.nan
    assert sorted([*first, *rest]) == list(range(24))
    return partial.reshape(6, 4)


def test_a_hopeless_candidate_is_stopped_and_a_promising_one_goes_on() -> None:
    found = race()
    assert not found.goes_on(found.anchors(), 5.0, seen(found, 0.3))
    assert found.goes_on(found.anchors(), 5.0, seen(found, 0.1))


def test_few_images_decide_and_tell_what_all_would() -> None:
    found = race()
    first, rest = found.parts(found.anchors())
    assert len(first) < len(rest)
    for drop in (0.05, 0.2, 0.5):
        assert found.expected(found.anchors(), seen(found, drop)) == pytest.approx(scores(drop, 77).mean(), rel=0.25)


def test_nobody_is_stopped_before_it_is_known_how_images_go_together_or_what_candidates_bring() -> None:
    assert race(seeds=8, bred=0).parts(None) == [list(range(24))]
    assert race(seeds=8, bred=0).anchors() is None
    fresh = race(bred=0)
    assert fresh.goes_on(fresh.anchors(), 5.0, seen(fresh, 0.9))


def test_a_share_of_zero_stops_nobody() -> None:
    found = race(least=0.0)
    assert found.goes_on(found.anchors(), 5.0, seen(found, 5.0))


def test_what_the_surrogate_foretold_counts_too() -> None:
    found = race()
    scale = LogDrop(0.0, 1.0)

    def foretold(reward: float, std: float) -> Prediction:
        return Prediction(scale.of(np.array([reward])), np.array([std]), scale)

    doubtful = seen(found, 0.25)
    assert not found.goes_on(found.anchors(), 5.0, doubtful)
    assert found.goes_on(found.anchors(), 5.0, doubtful, foretold(-0.05, std=0.02))
    assert not found.goes_on(found.anchors(), 5.0, doubtful, foretold(-0.05, std=50.0))


def test_schedules_that_spoil_every_image_do_not_count_for_how_images_go_together() -> None:
    found, spoiled = race(), race()
    for number in range(10):
        spoiled.add(0.5, -5.0 - np.random.default_rng(number).random((6, 4)), bred=False)
    assert spoiled.parts(spoiled.anchors()) == found.parts(found.anchors())


def test_a_racing_search_spends_its_images_on_more_candidates(bench: Any) -> None:
    evaluator = bench.evaluator(seeds=4)
    status = bench.run(evaluator, evaluations=60, race=True)
    pruned = [trial for trial in bench.trials() if trial.state.name == "PRUNED"]
    assert pruned
    assert status.stopped == len(pruned)
    assert status.evaluations == len(bench.complete()) + len(pruned) > 60
    shares = [trial.user_attrs[attributes.IMAGE_SHARE] for trial in pruned]
    assert all(2 / 12 <= share <= 0.5 for share in shares)
    assert status.images == pytest.approx(len(bench.complete()) + sum(shares), abs=1e-9)
    assert 60 <= status.images < 61
    for trial in pruned:  # the uncached run scores 0 here
        expected, _ = trial.user_attrs[attributes.EXPECTED_VALUES]
        assert trial.user_attrs[attributes.DIFFERENCE] == pytest.approx(expected)
        assert trial.user_attrs[attributes.DIFFERENCE_ERROR] is None


def test_a_racing_search_that_was_broken_off_goes_on_as_if_it_had_not_been(bench: Any) -> None:
    bench.run(bench.evaluator(seeds=4), study="whole", evaluations=50, race=True)
    bench.run(bench.evaluator(seeds=4), study="parts", evaluations=33, race=True)
    bench.run(bench.evaluator(seeds=4), study="parts", evaluations=50, race=True)

    def story(study: str) -> list[tuple[str, str]]:
        return [(trial.user_attrs[attributes.GENOME], trial.state.name) for trial in bench.trials(study)]

    assert story("whole") == story("parts")
