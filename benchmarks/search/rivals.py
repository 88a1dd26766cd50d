"""What a user could run instead of this search, by name."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.search.bit_rivals import pymoo_ecad, pymoo_per_bit, random_search
from benchmarks.search.cells import Rival
from benchmarks.search.interval_rivals import interval_nsga2, interval_tpe
from benchmarks.search.seeded_rivals import ecad_from_our_seeds
from benchmarks.search.step_rivals import budcache, dpcache
from benchmarks.search.step_search import step_search
from benchmarks.search.surrogate_rival import surrogate_nsga2

__all__ = ["BIT_RIVALS", "RIVALS", "STEP_RIVALS"]

BIT_RIVALS: Mapping[str, Rival] = {
    "Optuna NSGA-II, intervals": interval_nsga2,
    "Optuna TPE, intervals": interval_tpe,
    "pymoo NSGA-II (ECAD)": pymoo_ecad,
    "pymoo NSGA-II (ECAD), our seeds": ecad_from_our_seeds,
    "pymoo NSGA-II (per-bit mutation)": pymoo_per_bit,
    "pymoo + surrogate (SSA-NSGA-II)": surrogate_nsga2,
    "random": random_search,
}

#: These compute, reuse or extrapolate all slots of a step together. The second ends by itself.
STEP_RIVALS: Mapping[str, Rival] = {
    "BudCache-like": budcache,
    "DPCache-like": dpcache,
    "step search from DPCache": step_search,
}

RIVALS: Mapping[str, Rival] = {**BIT_RIVALS, **STEP_RIVALS}
