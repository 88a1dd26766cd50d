from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogate import bit_features, segments


@given(st.integers(1, 300), st.integers(1, 40))
def test_segments_are_of_nearly_equal_length(length: int, count: int) -> None:
    found = segments(length, count)
    sizes = np.bincount(found)
    assert len(sizes) == min(length, count)
    assert sizes.max() - sizes.min() <= 1
    assert (np.diff(found) >= 0).all()


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40))
def test_sums_are_those_of_the_grid(seed: int, rows: int, columns: int) -> None:
    bits = np.random.default_rng(seed).random((3, rows * columns)) < 0.5
    found = bit_features(bits, (rows, columns))
    assert np.array_equal(found[:, : rows * columns], bits)
    assert np.array_equal(found[:, rows * columns], bits.sum(axis=1))
    if min(rows, columns) > 1:
        sums = found[:, rows * columns + 1 :]
        grid = bits.reshape(3, rows, columns)
        assert np.array_equal(sums[:, :rows], grid.sum(axis=2))
        assert np.array_equal(sums[:, rows : rows + columns], grid.sum(axis=1))
        blocks = sums[:, rows + columns :]
        assert blocks.shape[1] == min(rows, 4) * min(columns, 4)
        assert np.array_equal(blocks.sum(axis=1), bits.sum(axis=1))


def test_bits_without_a_shape_have_sums_over_segments() -> None:
    bits = np.eye(32, dtype=np.bool_)
    assert bit_features(bits).shape == (32, 32 + 1 + 16)
    assert bit_features(bits)[:, 33:].sum(axis=0) == pytest.approx(np.full(16, 2.0))
