from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.binary.space import PackedBits, operators_of
from studies.breeding import breed

ROWS, COLUMNS = 5, 7
SHAPES = [(None, (1, 35)), ((ROWS, COLUMNS), (ROWS, COLUMNS)), ((1, 35), (1, 35)), ((35, 1), (35, 1))]
#: Mutations that move ones, but make none and lose none.
KEEPING = ("swap", "move", "swap-rows")

seeds = st.integers(0, 2**32)


def parents(rng: np.random.Generator, array: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    first, second = (rng.random(array) < rng.random() for _ in range(2))
    return first, second


@pytest.mark.parametrize(("shape", "array"), SHAPES)
@given(seed=seeds)
def test_every_bit_of_a_crossed_child_is_that_of_a_parent(
    shape: tuple[int, int] | None, array: tuple[int, int], seed: int
) -> None:
    for crossover in operators_of(shape)[0].values():
        rng = np.random.default_rng(seed)
        first, second = parents(rng, array)
        child = crossover(first, second, PackedBits(35, shape).grid, rng)
        assert child.shape == array
        assert ((child == first) | (child == second)).all()


@pytest.mark.parametrize(("shape", "array"), SHAPES)
@given(seed=seeds)
def test_a_mutation_keeps_the_number_of_bits_and_leaves_its_parent_alone(
    shape: tuple[int, int] | None, array: tuple[int, int], seed: int
) -> None:
    for name, mutation in operators_of(shape)[1].items():
        rng = np.random.default_rng(seed)
        bits = parents(rng, array)[0]
        before = bits.copy()
        child = mutation(bits, PackedBits(35, shape).grid, rng)
        assert child.shape == array
        assert child.dtype == np.bool_
        assert np.array_equal(bits, before)
        if name in KEEPING:
            assert child.sum() == bits.sum()


@pytest.mark.parametrize("shape", [None, (ROWS, COLUMNS)])
def test_no_bit_is_fixed(shape: tuple[int, int] | None) -> None:
    """The first step of schedules is; other genomes have no such thing."""
    rng = np.random.default_rng(0)
    array = (1, 35) if shape is None else shape
    crossovers, mutations = operators_of(shape)
    zeros = np.zeros((2, *array), dtype=np.bool_)
    children, names = breed(zeros, PackedBits(35, shape).grid, rng, 300, crossovers=crossovers, mutations=mutations)
    assert children.any(axis=0).all()
    assert {part for name in names for part in name.split("+")} == {*crossovers, *mutations}


def test_a_copied_column_is_that_of_a_neighbor_in_all_rows() -> None:
    rng = np.random.default_rng(0)
    columns = np.arange(COLUMNS)
    bits = np.repeat(columns[None] % 2 == 0, ROWS, axis=0)
    for _ in range(20):
        child = operators_of((ROWS, COLUMNS))[1]["copy-column"](bits, PackedBits(35, (ROWS, COLUMNS)).grid, rng)
        changed = np.flatnonzero((child != bits).any(axis=0))
        assert len(changed) == 1
        assert (child != bits)[:, changed].all()


def test_bits_without_a_shape_have_no_operators_for_neighbors() -> None:
    flat, grid = operators_of(None), operators_of((ROWS, COLUMNS))
    assert [*flat[0], *flat[1]] == ["uniform", "multipoint", "flip", "swap"]
    assert set(flat[0]) < set(grid[0])
    assert set(flat[1]) < set(grid[1])
