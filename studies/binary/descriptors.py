"""Readable numbers that say what a genome is like; the parameters of its trial in a dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecad_automl.errors import StudyError
from studies.binary.genome import Bits
from surrogate import segments

__all__ = ["Descriptor", "default_descriptors"]

#: Segments of a genome, and bands of rows and of columns of a grid, at most.
_SEGMENTS, _BANDS = 8, 4


@dataclass(frozen=True)
class Descriptor:
    """One number of a genome.

    Args:
        of: from ``(bits,)`` bool to the number.
        low: the least that it can be.
        high: the largest, above ``low``.

    Raises:
        StudyError: the range is empty.
    """

    of: Callable[[Bits], Any]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise StudyError(f"A descriptor has the range {self.low} to {self.high}; the first must be lower.")


def default_descriptors(bits: int, shape: tuple[int, int] | None = None) -> dict[str, Descriptor]:
    """Shares of ones: of all bits, and of up to eight segments, or of up to four bands of rows and of columns.

    Args:
        bits: how many.
        shape: rows and columns.
    """
    found = {"ones": Descriptor(np.mean)}
    if shape is None:
        found |= _shares("ones", np.arange(bits), bits, _SEGMENTS)
    else:
        row, column = np.divmod(np.arange(bits), shape[1])
        found |= _shares("ones in rows", row, shape[0], _BANDS)
        found |= _shares("ones in columns", column, shape[1], _BANDS)
    return found


def _shares(name: str, place: Any, length: int, count: int) -> dict[str, Descriptor]:
    """One for each of ``count`` parts of ``length`` places, ``place`` being that of each bit."""
    found = {}
    part = segments(length, count)
    for number in np.unique(part):
        first, last = np.flatnonzero(part == number)[[0, -1]]
        found[f"{name} {first} to {last}"] = Descriptor(_ShareOf((place >= first) & (place <= last)))
    return found


@dataclass(frozen=True, eq=False)
class _ShareOf:
    mask: Bits

    def __call__(self, bits: Bits) -> float:
        return float(bits[self.mask].mean())
