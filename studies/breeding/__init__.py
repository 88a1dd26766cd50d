"""The one engine that proposes candidates: NSGA-II whose offspring surrogates choose, over any space of genes."""

from studies.breeding.crossover import CROSSOVERS
from studies.breeding.grid import Crossover, Grid, Mutation
from studies.breeding.mutation import FORECAST_MUTATIONS, GUIDED_MUTATIONS, MUTATIONS
from studies.breeding.offspring import breed
from studies.breeding.propose import FEWEST_FOR_A_FIT, Plan, Proposal, propose
from studies.breeding.sampler import GenomeSampler, Measured, describe, distributions, share_of
from studies.breeding.space import Descriptor, Expected, Past, Pending, Predict, Space

__all__ = [
    "CROSSOVERS",
    "FEWEST_FOR_A_FIT",
    "FORECAST_MUTATIONS",
    "GUIDED_MUTATIONS",
    "MUTATIONS",
    "Crossover",
    "Descriptor",
    "Expected",
    "GenomeSampler",
    "Grid",
    "Measured",
    "Mutation",
    "Past",
    "Pending",
    "Plan",
    "Predict",
    "Proposal",
    "Space",
    "breed",
    "describe",
    "distributions",
    "propose",
    "share_of",
]
