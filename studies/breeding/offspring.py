"""Children of a set of parents, each with the names of the operators that made it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from studies.breeding._credit import SEPARATOR
from studies.breeding.crossover import CROSSOVERS
from studies.breeding.grid import Bits, Crossover, Grid, Mutation
from studies.breeding.mutation import MUTATIONS

CROSSOVER_RATE = 0.5
MUTATION_RATE = 0.8


def breed(
    parents: Bits,
    grid: Grid,
    rng: np.random.Generator,
    count: int,
    odds: Mapping[str, float] | None = None,
    crossovers: Mapping[str, Crossover] = CROSSOVERS,
    mutations: Mapping[str, Mutation] = MUTATIONS,
) -> tuple[Bits, list[str]]:
    """Children of randomly paired parents: half of them by crossover, most of them mutated.

    Args:
        parents: ``(p, steps, slots)`` bool, already selected.
        grid: blocks and components of the slots.
        rng: source of randomness.
        count: how many children.
        odds: of each operator by name; all alike by default.
        crossovers: those to use, by name; those of schedules by default.
        mutations: those to use, by name; those of schedules by default.

    Returns:
        ``(count, steps, slots)`` bool whose fixed rows are all True, and for each child the names of the operators
        that made it, joined by ``+``.
    """
    parents = np.asarray(parents, dtype=np.bool_).copy()
    parents[:, : grid.fixed] = True
    crossover_names, crossover_chances = _probabilities(crossovers, odds)
    mutation_names, mutation_chances = _probabilities(mutations, odds)
    children = np.empty((count, *parents.shape[1:]), dtype=np.bool_)
    names: list[str] = []
    for index in range(count):
        pair = rng.choice(len(parents), size=2, replace=len(parents) < 2)
        child, used = parents[pair[0]], []
        if len(parents) > 1 and rng.random() < CROSSOVER_RATE:
            name = str(rng.choice(crossover_names, p=crossover_chances))
            child = crossovers[name](child, parents[pair[1]], grid, rng)
            used.append(name)
        children[index] = child
        if not used or rng.random() < MUTATION_RATE:
            name = str(rng.choice(mutation_names, p=mutation_chances))
            if grid.fixed < len(child):
                children[index, grid.fixed :] = mutations[name](child[grid.fixed :], grid, rng)
            used.append(name)
        names.append(SEPARATOR.join(used))
    return children, names


def _probabilities(
    operators: Mapping[str, object], odds: Mapping[str, float] | None
) -> tuple[list[str], NDArray[np.float64]]:
    names = list(operators)
    found = np.array([1.0 if odds is None else odds.get(name, 1.0) for name in names])
    return names, found / found.sum()
