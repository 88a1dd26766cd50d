"""What a surrogate sees of a binary genome if nobody says anything better: its bits, and sums over parts of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Sums are taken over about so many segments of a genome, and of a grid over blocks of so many a side.
SEGMENTS = 16
BLOCKS = 4


def segments(length: int, count: int = SEGMENTS) -> NDArray[np.intp]:
    """The segment of each of ``length`` places: ``(length,)``, ascending from 0, at most ``count`` segments."""
    return np.arange(length) * min(count, length) // length


def bit_features(bits: Bits, shape: tuple[int, int] | None = None) -> Floats:
    """Raw bits, and counts of ones that trees would need many splits for.

    Args:
        bits: ``(n, length)``.
        shape: rows and columns, if the genome is a grid, row by row.

    Returns:
        ``(n, features)``: the bits, the count of ones, and counts over segments, or of a grid over rows, over columns
        and over blocks of 4 x 4 parts of it.
    """
    values = bits.astype(np.float64)
    parts = [values, values.sum(axis=1, keepdims=True)]
    if shape is None or 1 in shape:
        parts.append(_sums(values, segments(values.shape[1])))
    else:
        rows, columns = shape
        row, column = np.divmod(np.arange(values.shape[1]), columns)
        block = segments(rows, BLOCKS)[row] * BLOCKS + segments(columns, BLOCKS)[column]
        parts += [_sums(values, row), _sums(values, column), _sums(values, np.unique(block, return_inverse=True)[1])]
    return np.concatenate(parts, axis=1)


def _sums(values: Floats, part: NDArray[np.intp]) -> Floats:
    """``(n, parts)``: sums over the places of each part."""
    sums: Floats = values @ np.eye(int(part.max()) + 1)[part]
    return sums
