"""Which operators to use more often: those whose children have added most to the front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from surrogate import Reference, hypervolume_gain, staircase

__all__ = ["SEPARATOR", "generation_gains", "operator_odds"]

#: Between the names of the operators that made a child together.
SEPARATOR = "+"
#: Children of average success that every operator is taken to have had.
_PRIOR = 4.0
#: No operator is used more, or less, often than another by more than the square of this.
_MOST = 3.0


def operator_odds(children: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Odds of each operator by what its children gained, relative to all.

    Args:
        children: of each evaluated child the names of its operators, joined by ``+``, and the hypervolume that it added
            to the front of the generations before it, not negative.

    Returns:
        For each operator that occurs its gain per child, divided by that of all children and drawn to 1, the more so
        the fewer children it had. Others have odds of 1.
    """
    known = list(children)
    total = sum(gain for _, gain in known)
    if total <= 0.0:
        return {}
    mean = total / len(known)
    gains: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    for names, gain in known:
        for name in names.split(SEPARATOR):
            gains[name] += gain / mean
            counts[name] += 1
    odds = {name: (gains[name] + _PRIOR) / (counts[name] + _PRIOR) for name in gains}
    return {name: min(max(value, 1 / _MOST), _MOST) for name, value in odds.items()}


def generation_gains(
    generation: NDArray[np.intp],
    reward: NDArray[np.float64],
    cost: NDArray[np.float64],
    reference: Reference,
) -> NDArray[np.float64]:
    """The hypervolume that each candidate, alone, added to the front of the generations before its own.

    Args:
        generation: ``(n,)`` number of each candidate's generation.
        reward: ``(n,)`` finite, higher is better.
        cost: ``(n,)`` finite, lower is better.
        reference: of the hypervolume.

    Returns:
        ``(n,)``, not negative.
    """
    gains = np.zeros(len(generation))
    for number in np.unique(generation):
        before, mine = generation < number, generation == number
        gains[mine] = hypervolume_gain(reward[mine], cost[mine], staircase(reward[before], cost[before], reference))
    return gains
