"""Offspring to choose from, and the order in which they are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Choose", "Pool", "in_order"]

T = TypeVar("T", bound=Hashable)
Bits = NDArray[np.bool_]
Indices = NDArray[np.intp]

Choose = Callable[[Indices], Sequence[int] | Indices]
"""From the candidates that may be chosen, as indices, to the positions among these of the chosen ones, best first."""

#: Times that the parents may breed a pool's worth of children to fill the pool with distinct ones.
_ROUNDS = 10


class Pool(Generic[T]):
    """Distinct candidates that were not evaluated before, each with the names of the operators that made it.

    Args:
        make: from the bits of a child to a candidate. Children of equal candidates count as one.
        known: candidates that are left out.
    """

    def __init__(self, make: Callable[[Bits], T], known: Iterable[T]) -> None:
        self._make = make
        self._seen = set(known)
        self.candidates: list[T] = []
        self.operators: list[str] = []

    def __len__(self) -> int:
        return len(self.candidates)

    def add(self, children: Bits, names: Sequence[str], size: int) -> None:
        """Add what is new of ``n`` children, until there are ``size`` candidates."""
        for child, name in zip(children, names, strict=True):
            candidate = self._make(child)
            if candidate not in self._seen and len(self.candidates) < size:
                self._seen.add(candidate)
                self.candidates.append(candidate)
                self.operators.append(name)

    def fill(self, breed: Callable[[], tuple[Bits, Sequence[str]]], size: int) -> None:
        """Breed until there are ``size`` candidates, or the parents hardly have any new ones."""
        for _ in range(_ROUNDS):
            self.add(*breed(), size)
            if len(self) == size:
                break


def in_order(lottery: Indices, unfiltered: int, choose: Choose | None) -> tuple[list[int], frozenset[int]]:
    """The order in which to evaluate the candidates of a pool: chosen ones, drawn ones, then spare ones.

    Args:
        lottery: a permutation of all candidates, drawn before anything else looked at them. Its first ones measure the
            surrogate on candidates that it did not choose.
        unfiltered: how many of them these are.
        choose: None where nothing is chosen.

    Returns:
        Indices of all candidates, and which of them were chosen.
    """
    drawn = lottery[:unfiltered]
    rest = np.setdiff1d(np.arange(len(lottery)), drawn)
    chosen = [] if choose is None else [int(rest[i]) for i in choose(rest)]
    filtered = frozenset(chosen)
    return [*chosen, *(int(i) for i in lottery if int(i) not in filtered)], filtered
