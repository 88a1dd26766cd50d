"""Which of the operators make sense for bits of which nothing is known but, perhaps, that they form a grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from studies.operators import CROSSOVERS, MUTATIONS, Crossover, Grid, Mutation
from studies.operators.crossover import uniform

__all__ = ["grid_of", "operators_of"]

_FLAT_MUTATIONS = ("flip", "swap")
_GRID_CROSSOVERS = {"rectangle": "rectangle", "rows": "stepwise", "columns": "slotwise"}
_GRID_MUTATIONS = {
    "move": "move",
    "copy-row": "copy-step",
    "copy-column": "copy-slot",
    "swap-rows": "swap-steps",
    "toggle-row": "toggle-step",
    "toggle-columns": "blocks",
    "toggle-rows": "run",
}


def grid_of(bits: int, shape: tuple[int, int] | None) -> Grid:
    """The grid on which the operators work; bits of no shape are one row."""
    columns = bits if shape is None else shape[1]
    return Grid(np.arange(columns), np.zeros(columns, dtype=np.intp), fixed=0)


def operators_of(shape: tuple[int, int] | None) -> tuple[Mapping[str, Crossover], Mapping[str, Mutation]]:
    """Crossovers and mutations by name.

    Args:
        shape: rows and columns; None leaves out what takes neighbors to be alike.
    """
    crossovers = {"uniform": uniform, "multipoint": CROSSOVERS["multipoint"]}
    mutations = {name: MUTATIONS[name] for name in _FLAT_MUTATIONS}
    if shape is not None:
        crossovers |= {name: CROSSOVERS[of] for name, of in _GRID_CROSSOVERS.items()}
        mutations |= {name: MUTATIONS[of] for name, of in _GRID_MUTATIONS.items()}
    return crossovers, mutations
