from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.binary.space import PackedBits
from studies.breeding import Past, Pending, propose
from studies.config import BreedingConfig

BITS = 16


def weight(bits: np.ndarray) -> np.ndarray:
    return bits @ np.arange(1.0, BITS + 1)


SPACE = PackedBits(BITS, exact={1: weight})


def past_of(bits: np.ndarray, tried: Sequence[bytes] = ()) -> Past[bytes]:
    reward = np.sqrt(weight(bits)) + 2.0 * bits[:, 0]
    return Past.of(bits, reward, weight(bits), {*map(SPACE.candidate, bits), *tried})


def random_bits(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((count, BITS)) < rng.random((count, 1))


def bred(past: Past[bytes], pending: Sequence[Pending[bytes]] = (), **changed: Any) -> Any:
    config = BreedingConfig(**{"offspring": 6, "pool": 40, "rounds": 2, **changed})
    parents = [SPACE.candidate(row) for row in past.genes[:5]]
    return propose(SPACE, past, parents, config, np.random.default_rng(0), pending)


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(0, 3), st.sampled_from([8, 20]))
def test_candidates_are_distinct_and_new_and_those_drawn_by_chance_follow_the_chosen(
    seed: int, unfiltered: int, count: int
) -> None:
    failed, busy = map(SPACE.candidate, random_bits(2, seed + 1))
    past = past_of(random_bits(count, seed), [failed])
    plan = bred(past, [Pending(busy, np.nan)], unfiltered=unfiltered)
    found = [proposal.candidate for proposal in plan.proposals]
    assert len(set(found)) == len(found) >= 40
    assert not {failed, busy, *past.tried} & set(found)
    assert plan.surrogate_used is (count >= 12)  # fewer teach nothing
    chosen = 6 - unfiltered if plan.surrogate_used else 0
    assert [proposal.filtered for proposal in plan.proposals] == [True] * chosen + [False] * (len(found) - chosen)
    # What is drawn does not depend on what the surrogate says.
    drawn = found[chosen : chosen + unfiltered]
    assert (
        drawn
        == [proposal.candidate for proposal in bred(past, [Pending(busy, np.nan)], surrogate=False).proposals][
            :unfiltered
        ]
    )


def test_parents_that_have_nothing_new_are_helped_out_by_random_candidates() -> None:
    past = past_of(np.ones((1, BITS), dtype=np.bool_))
    plan = bred(past, pool=6)
    assert len(plan.proposals) >= 12
    assert "random" in {proposal.operator for proposal in plan.proposals}


def test_a_space_without_anything_new_proposes_nothing() -> None:
    small = PackedBits(1)
    bits = np.array([[False], [True]])
    past = Past.of(bits, np.zeros(2), np.zeros(2), {small.candidate(row) for row in bits})
    plan = propose(small, past, list(past.tried), BreedingConfig(), np.random.default_rng(0))
    assert plan.proposals == ()


def test_what_is_being_evaluated_counts_as_it_was_predicted() -> None:
    """A candidate that was predicted to be far better than all leaves nothing to expect beside it."""
    past = past_of(random_bits(30, 0))
    best = bred(past).proposals[0].candidate
    alone = [proposal.candidate for proposal in bred(past).proposals[:5]]
    beside = bred(past, [Pending(best, 100.0)])
    assert best not in [proposal.candidate for proposal in beside.proposals]
    assert [proposal.candidate for proposal in beside.proposals[:5]] != alone


def test_predictions_of_no_use_do_not_choose() -> None:
    past = past_of(random_bits(40, 0))
    rng = np.random.default_rng(1)
    past.predicted[:, 0] = np.stack([rng.normal(size=40), np.ones(40)], axis=1)
    plan = bred(past, min_rank_correlation=0.9)
    assert not plan.surrogate_used
    assert plan.accuracy[0].rank_correlation == pytest.approx(0.0, abs=0.5)
    assert not any(proposal.filtered for proposal in plan.proposals)
    assert all("predicted_0" in proposal.predicted for proposal in plan.proposals)
