"""Searches of others from the schedules with which this project's search begins."""

from __future__ import annotations

import numpy as np

from benchmarks.search.bit_rivals import POPULATION, filled_up, nsga2_from
from benchmarks.search.objective import Objective
from ecad_automl.schedules.layout import Layout
from studies.config import SearchConfig
from studies.cost import mac_cost
from studies.seeds import first_schedules

__all__ = ["ecad_from_our_seeds"]


def ecad_from_our_seeds(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Pymoo's NSGA-II in ECAD's settings from the seeds of this search in the same space, which pay for their drift."""
    ours = first_schedules(layout, objective.drift(), SearchConfig(), mac_cost(layout))
    start = filled_up(list(ours.values())[:POPULATION], POPULATION, np.random.default_rng(seed))
    nsga2_from(start, objective, layout, steps, seed)
