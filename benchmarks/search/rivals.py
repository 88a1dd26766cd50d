"""What a user could run instead of this search, by name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.search.bit_rivals import optuna_nsga2, optuna_tpe, pymoo_ecad, pymoo_per_bit, random_search
from benchmarks.search.objective import BudgetSpentError, Evaluate, Objective
from benchmarks.search.step_rivals import budcache, dpcache
from benchmarks.search.surrogate_rival import surrogate_nsga2
from ecad_automl.schedules.layout import Layout

__all__ = ["BIT_RIVALS", "RIVALS", "STEP_RIVALS", "BudgetSpentError"]

#: Each is called with what it may ask for, the slots, the number of steps and a seed, and ends when its budget does.
BIT_RIVALS: dict[str, Callable[[Evaluate, Layout, int, int], None]] = {
    "Optuna NSGA-II": optuna_nsga2,
    "Optuna TPE": optuna_tpe,
    "pymoo NSGA-II (ECAD)": pymoo_ecad,
    "pymoo NSGA-II (per-bit mutation)": pymoo_per_bit,
    "pymoo + surrogate (SSA-NSGA-II)": surrogate_nsga2,
    "random": random_search,
}

#: These compute or reuse all slots of a step together.
STEP_RIVALS: dict[str, Callable[[Objective, Layout, int, int], None]] = {
    "BudCache-like": budcache,
    "DPCache-like": dpcache,
}

RIVALS: dict[str, Callable[[Objective, Layout, int, int], None]] = {**BIT_RIVALS, **STEP_RIVALS}
