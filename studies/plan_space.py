"""Caching schedules of several numbers of steps as one space to breed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.genes import counts_of, gene_columns, plan_rows, spread
from ecad_automl.schedules.genomes import Genomes, write_genome
from ecad_automl.schedules.guidance_errors import GuidanceErrors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies.breeding import Descriptor, Grid
from studies.cost import Cost
from studies.quality import Scale
from studies.schedule_space import ScheduleSpace, feature_context
from surrogate import FeatureContext, Plans, group_drift

Floats = NDArray[np.float64]


class PlanSpace(ScheduleSpace):
    """Schedules of one layout and several numbers of steps.

    The genes of a run of fewer steps are a grid of as many rows as the longest has, in which some rows are not there;
    each row stands at the same share of the run. So parents of different numbers of steps can be crossed, and a child
    has the number of steps that is nearest to its rows.

    Args:
        layout: the slots.
        steps: of the longest run, with which all others are compared.
        cost: what is minimized.
        scale: the rewards and costs of interest.
        drifts: by number of steps, ``steps`` among them: ``(slots, count, count)``, see :class:`ScheduleSpace`.
        forecasts: by number of steps: weights of forecasts; empty where schedules only reuse.
        guidance: by number of steps: errors of guidance by one branch alone; empty where it is left as it is.
        **more: see :class:`ScheduleSpace`.
    """

    def __init__(
        self,
        layout: Layout,
        steps: int,
        cost: Cost,
        scale: Scale,
        drifts: Mapping[int, Floats],
        forecasts: Mapping[int, Forecasts],
        guidance: Mapping[int, GuidanceErrors] | None = None,
        **more: Any,
    ) -> None:
        self._counts = np.array(sorted(drifts), dtype=np.intp)
        self._by_count = dict(forecasts)
        of_guidance = guidance or {}
        slots = len(layout)
        # Before all else: it reads the genes of what other studies have evaluated.
        self._inner = gene_columns(slots, len(layout.components), bool(of_guidance)) if forecasts else slots
        super().__init__(
            layout, steps, cost, scale, drifts[steps], forecasts.get(steps), of_guidance.get(steps), **more
        )
        self._grid = Grid.of(layout, self._inner + 1, self._guided)
        self._mutations = {**self._mutations, "steps": self._change_steps}
        self.descriptors = {
            **{name: _inside(descriptor) for name, descriptor in self.descriptors.items()},
            "steps": Descriptor(lambda genes: float(self._counts[counts_of(genes[None], self._counts)[0]] / steps)),
        }
        contexts = tuple(
            feature_context(layout, drifts[count], forecasts.get(count), of_guidance.get(count))
            for count in self._counts.tolist()
        )
        self._context = replace(self._context, plans=Plans(self._counts, contexts, self._shortening(self._context)))

    def _shortening(self, context: FeatureContext) -> Floats:
        """``(counts,)``: as if the steps that a shorter run has not were reused as a whole in the longest one."""
        compute = np.zeros((len(self._counts), self.steps, len(self.layout)), dtype=np.bool_)
        for row, count in zip(compute, self._counts, strict=True):
            row[plan_rows(int(count), self.steps)] = True
        found: Floats = group_drift(compute, context).sum(axis=(1, 2)) / np.sqrt(len(self.layout))
        return found

    def candidate(self, genes: Bits) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        count = int(self._counts[counts_of(genes[None], self._counts)[0]])
        return self._schedule(genes[plan_rows(count, self.steps), : self._inner], self._by_count.get(count))

    def genes(self, candidates: Sequence[Schedule]) -> Bits:
        """``(n, steps, columns)``: see :func:`~ecad_automl.schedules.genes.spread`."""
        found = np.zeros((len(candidates), self.steps, self._inner + 1), dtype=np.bool_)
        for row, schedule in zip(found, candidates, strict=True):
            row[:] = spread(self._genes_of(schedule)[None], self.steps)[0]
        return found

    def write(self, candidate: Schedule) -> str:
        """See :class:`~studies.breeding.space.Space`."""
        return write_genome(candidate, self.steps)

    def read(self, genome: str) -> Schedule:
        """See :class:`~studies.breeding.space.Space`."""
        return Genomes(self.layout, self.steps, known=self._by_count).schedule(genome)

    def _change_steps(self, compute: Bits, grid: Grid, rng: np.random.Generator) -> Bits:
        """The next smaller or larger number of steps."""
        del grid
        child = compute.copy()
        place = int(counts_of(np.concatenate([compute[:1], compute])[None], self._counts)[0])
        near = [other for other in (place - 1, place + 1) if 0 <= other < len(self._counts)]
        if near:
            absent = np.ones(self.steps, dtype=np.bool_)
            absent[plan_rows(int(self._counts[rng.choice(near)]), self.steps)] = False
            child[:, -1] = absent[1:]
        return child

    def _costs(self, genes: Bits) -> Floats:
        costs = np.zeros(len(genes))
        places = counts_of(genes, self._counts)
        for place, count in enumerate(self._counts):
            mine = np.flatnonzero(places == place)
            if len(mine):
                costs[mine] = super()._costs(genes[mine][:, plan_rows(int(count), self.steps), : self._inner])
        return costs


def _inside(descriptor: Descriptor) -> Descriptor:
    """Of genes without the column that says which rows are there."""
    return Descriptor(lambda genes: descriptor.of(genes[..., :-1]), descriptor.low, descriptor.high)
