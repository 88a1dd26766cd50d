from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studies.binary import pack_bits
from studies.binary.pool import Pool, in_order


@given(st.lists(st.integers(0, 15), max_size=40), st.sets(st.integers(0, 15)), st.integers(0, 20))
def test_a_pool_holds_distinct_candidates_that_are_new(children: list[int], known: set[int], size: int) -> None:
    pool = Pool(lambda bits: int(bits @ (8, 4, 2, 1)), known)
    rows = np.array([[bool(child & bit) for bit in (8, 4, 2, 1)] for child in children], dtype=np.bool_).reshape(-1, 4)
    pool.add(rows, ["flip"] * len(rows), size)
    expected = [child for child in dict.fromkeys(children) if child not in known][:size]
    assert pool.candidates == expected
    assert len(pool.operators) == len(pool) == len(expected)


def test_filling_ends_where_parents_have_nothing_new() -> None:
    pool = Pool(pack_bits, [])
    asked = []

    def breed() -> tuple[np.ndarray, list[str]]:
        asked.append(1)
        return np.ones((5, 3), dtype=np.bool_), ["flip"] * 5

    pool.fill(breed, 4)
    assert len(pool) == 1
    assert len(asked) == 10


@given(st.integers(1, 30), st.integers(0, 5), st.integers(0, 10), st.integers(0, 2**32))
def test_all_candidates_are_in_the_order_once_chosen_ones_first(
    count: int, unfiltered: int, wanted: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    lottery = rng.permutation(count)
    order, filtered = in_order(lottery, unfiltered, lambda rest: rng.permutation(len(rest))[:wanted])
    assert sorted(order) == list(range(count))
    drawn = lottery[:unfiltered].tolist()
    assert set(order[: len(filtered)]) == filtered
    assert not filtered & set(drawn)
    assert order[len(filtered) : len(filtered) + len(drawn)] == drawn
    assert in_order(lottery, unfiltered, None) == (lottery.tolist(), frozenset())
