from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.search.interval_rivals import IntervalSpace
from benchmarks.search.objective import BudgetSpentError
from benchmarks.search.rivals import BIT_RIVALS, RIVALS
from benchmarks.search.surrogate_rival import Regression
from ecad_automl.schedules.heuristics import fora
from ecad_automl.schedules.layout import Layout, Slot
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.seeds import first_schedules
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
    calibration = 1 if name == "pymoo NSGA-II (ECAD), our seeds" else 0
    assert (len(set(tried.asked)), tried.left) == (37 - calibration, 0)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "DPCache-like"])  # which draws nothing
def test_seed_fixes_all_that_is_asked(name: str, toy: Callable[[int], Any]) -> None:
    first, again, other = (run(name, toy(36 * IMAGES), seed) for seed in (3, 3, 4))
    assert (first.asked, first.latents_asked) == (again.asked, again.latents_asked)
    assert (first.asked, first.latents_asked) != (other.asked, other.latents_asked)


def test_from_our_seeds_begins_with_them(toy: Callable[[int], Any]) -> None:
    tried = run("pymoo NSGA-II (ECAD), our seeds", toy(20 * IMAGES))
    ours = first_schedules(LAYOUT, toy(IMAGES).drift(), SearchConfig(), mac_cost(LAYOUT))
    assert set(list(ours.values())[:10]) <= set(tried.asked)


@pytest.mark.parametrize("name", ["Optuna NSGA-II, intervals", "pymoo NSGA-II (ECAD)"])
def test_the_floor_keeps_searches_above_it(name: str, toy: Callable[[int], Any]) -> None:
    free, told = toy(150 * IMAGES), toy(150 * IMAGES)
    told.lowest = 0.5 * float(told._worth.sum())
    above = []
    for tried in (free, told):
        run(name, tried)
        above.append(np.mean([reward >= told.lowest for reward, _ in tried.points[75:]]))
    assert above[1] > above[0] + 0.1


@pytest.mark.parametrize(("components", "parameters"), [(3, 36), (6, 36)])
def test_intervals_are_few_parameters_that_make_fora(components: int, parameters: int) -> None:
    names = [f"c{number}" for number in range(components)]
    slots = [Slot(f"blocks.{block}", name, macs=1) for block in range(4) for name in names]
    layout = Layout("Toy", tuple(slots), constant_macs=1)
    space = IntervalSpace(layout, 12)
    assert len(space.names) == parameters
    assert space.schedule(space.uniform(3)) == fora(layout, 12, 3)
    assert len({space.schedule(seed) for seed in space.seeds()}) > 20
    values = {**space.uniform(12), "interval 0.1": 1}
    computed = space.schedule(values).effective.sum(axis=0)
    assert sorted(set(computed.tolist())) == [1, 5]


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
