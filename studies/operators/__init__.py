"""Operators that breed schedules: pure functions on bool arrays of shape (steps, slots)."""

from studies.operators.breeding import breed
from studies.operators.credit import generation_gains, operator_odds
from studies.operators.crossover import CROSSOVERS
from studies.operators.grid import Crossover, Grid, Mutation
from studies.operators.mutation import MUTATIONS

__all__ = ["CROSSOVERS", "MUTATIONS", "Crossover", "Grid", "Mutation", "breed", "generation_gains", "operator_odds"]
