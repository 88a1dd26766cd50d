from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.search.objective import BudgetSpentError
from benchmarks.search.rivals import BIT_RIVALS, RIVALS
from benchmarks.search.surrogate_rival import Regression
from tests.benchmarks.conftest import IMAGES, LAYOUT, STEPS

# Optuna warns of parameters by which it drew before.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def run(name: str, toy: Any, seed: int = 0) -> Any:
    with pytest.raises(BudgetSpentError):
        RIVALS[name](toy, LAYOUT, STEPS, seed)
    return toy


@pytest.mark.parametrize("name", BIT_RIVALS)
def test_search_over_bits_spends_its_budget_to_the_last_evaluation(name: str, toy: Callable[[int], Any]) -> None:
    tried = run(name, toy(37 * IMAGES))
    assert (len(tried.asked), tried.left) == (37, 0)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "DPCache-like"])  # which draws nothing
def test_seed_fixes_all_that_is_asked(name: str, toy: Callable[[int], Any]) -> None:
    first, again, other = (run(name, toy(36 * IMAGES), seed) for seed in (3, 3, 4))
    assert (first.asked, first.latents_asked) == (again.asked, again.latents_asked)
    assert (first.asked, first.latents_asked) != (other.asked, other.latents_asked)


def test_mutation_of_every_bit_changes_more_than_that_of_ecad(toy: Callable[[int], Any]) -> None:
    start, ecad, proper = (
        {schedule.to_genome() for schedule in run(name, toy(count * IMAGES)).asked}
        for name, count in (
            ("pymoo NSGA-II (ECAD)", 24),
            ("pymoo NSGA-II (ECAD)", 200),
            ("pymoo NSGA-II (per-bit mutation)", 200),
        )
    )
    assert start < ecad
    assert start < proper
    assert ecad != proper


def test_surrogate_search_is_ahead_of_random_and_of_the_plain_one(toy: Callable[[int], Any]) -> None:
    names = ("pymoo + surrogate (SSA-NSGA-II)", "pymoo NSGA-II (per-bit mutation)", "random")
    surrogate, plain, random = (run(name, toy(64 * IMAGES)).hypervolume() for name in names)
    assert surrogate > max(plain, random) + 0.05


def test_surrogate_takes_the_model_that_ranks_best() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((90, 60)) < 0.5
    values = bits @ rng.random(60) + rng.normal(scale=0.01, size=90)
    regression = Regression(rng)
    regression.judge_by_folds(bits[:60], values[:60])
    assert regression.best in ("ridge", "kriging with a linear mean")
    predicted = regression.fit(bits[:60], values[:60])(bits[60:])
    assert np.corrcoef(predicted, values[60:])[0, 1] > 0.8
