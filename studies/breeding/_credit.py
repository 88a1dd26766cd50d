"""Which operators to use more often: those whose children have added most to the front."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studies.breeding.space import Candidate, Past
from surrogate import Reference, hypervolume_improvement, non_dominated, staircase

Floats = NDArray[np.float64]

#: Between the names of the operators that made a child together.
SEPARATOR = "+"
#: Children of average success that every operator is taken to have had.
_PRIOR = 4.0
#: No operator is used more, or less, often than another by more than the square of this.
_MOST = 3.0


def operator_odds(operators: Sequence[str], improvement: Floats) -> dict[str, float]:
    """Odds of each operator by how much its children improved the front, relative to all.

    Args:
        operators: of each evaluated child the names of its operators, joined by ``+``; empty for those not bred.
        improvement: ``(n,)`` hypervolume that each added to the front of the generations before it, not negative.

    Returns:
        For each operator that occurs the improvement per child, divided by that of all children and drawn to 1, the
        more so the fewer children it had. Others have odds of 1.
    """
    bred = [(names, float(value)) for names, value in zip(operators, improvement, strict=True) if names]
    total = sum(value for _, value in bred)
    if total <= 0.0:
        return {}
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    for names, value in bred:
        for name in names.split(SEPARATOR):
            sums[name] += value / total * len(bred)
            counts[name] += 1
    odds = {name: (sums[name] + _PRIOR) / (counts[name] + _PRIOR) for name in sums}
    return {name: min(max(value, 1 / _MOST), _MOST) for name, value in odds.items()}


def improvements(past: Past[Candidate], reference: Reference) -> Floats:
    """``(n,)``: the hypervolume that each candidate, alone, added to the front of the generations before its own.

    Those that were stopped or are infeasible added nothing.
    """
    found = np.zeros(len(past))
    counted, front = past.counted, np.zeros(0, dtype=np.intp)
    for generation in np.unique(past.generation):
        mine = np.flatnonzero((past.generation == generation) & counted)
        before = staircase(past.reward[front], past.cost[front], reference)
        found[mine] = hypervolume_improvement(past.reward[mine], past.cost[mine], before)
        front = np.append(front, mine)
        front = front[non_dominated(past.reward[front], past.cost[front])]
    return found
