from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from studies.breeding import CROSSOVERS, MUTATIONS, Past
from studies.breeding._credit import improvements, operator_odds
from surrogate import Reference, hypervolume

NAMES = st.sampled_from([*CROSSOVERS, *MUTATIONS, "stepwise+flip", "drift+band"])


def odds_of(children: list[tuple[str, float]]) -> dict[str, float]:
    names, values = [name for name, _ in children], [value for _, value in children]
    return operator_odds(names, np.array(values))


def test_operators_whose_children_gained_more_have_better_odds() -> None:
    odds = odds_of([("flip", 0.0)] * 20 + [("band", 1.0)] * 20)
    assert odds["band"] > 1.0 > odds["flip"] > 0.0


def test_odds_are_gains_per_child_not_in_sum() -> None:
    odds = odds_of([("flip", 1.0)] * 40 + [("band", 1.0)] * 10)
    assert odds == {"flip": pytest.approx(1.0), "band": pytest.approx(1.0)}


def test_few_children_say_little() -> None:
    """The operator has twice the gain per child of all others, from 2 children or from 40."""
    few = odds_of([("flip", 2.0)] * 2 + [("band", 1.0)] * 98)["flip"]
    many = odds_of([("flip", 2.0)] * 40 + [("band", 1.0)] * 1960)["flip"]
    assert 1.0 < few < 1.5 < many < 2.0


def test_operators_that_made_a_child_together_share_its_gain() -> None:
    odds = odds_of([("stepwise+flip", 1.0), ("band", 0.0), ("run", 0.0)])
    assert odds["stepwise"] == odds["flip"] > odds["band"] == odds["run"]


def test_where_nothing_was_gained_all_are_alike() -> None:
    assert odds_of([]) == {}
    assert odds_of([("flip", 0.0), ("band", 0.0)]) == {}


@given(st.lists(st.tuples(NAMES, st.floats(0, 10)), max_size=60))
@example([("flip", 0.0), ("flip", 5e-324)])
def test_odds_are_bounded(children: list[tuple[str, float]]) -> None:
    assert all(1 / 3 <= odds <= 3 for odds in odds_of(children).values())


@given(st.integers(0, 2**32))
def test_improvements_are_over_the_front_of_earlier_generations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    generation, reference = np.sort(rng.integers(0, 4, 20)), Reference(0.0, 1.0)
    reward, cost = rng.random((2, 20))
    share, feasible = rng.choice([0.5, 1.0, 1.0], 20), rng.random(20) < 0.8
    nothing = np.zeros((20, 0))
    past = Past(nothing, reward, cost, generation, [""] * 20, share, feasible, nothing, nothing, ())
    gains = improvements(past, reference)
    assert not gains[~past.counted].any()
    for index in np.flatnonzero(past.counted):
        before = (generation < generation[index]) & past.counted
        alone = hypervolume([*reward[before], reward[index]], [*cost[before], cost[index]], reference)
        assert gains[index] == pytest.approx(alone - hypervolume(reward[before], cost[before], reference))
