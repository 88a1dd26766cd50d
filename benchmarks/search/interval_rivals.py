"""Optuna's samplers on a space that suits them: how often each component is computed, by part of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.search.objective import Objective
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["IntervalSpace", "interval_nsga2", "interval_tpe"]

_POPULATION = 24
#: Parts of the run, and the most parameters that there may be.
_PARTS = 3
_MOST = 60
_LONGEST = 8


class IntervalSpace:
    """Schedules by intervals and offsets: one of each for every component, third of the run, and half of the blocks.

    Blocks are not told apart where that would make more than 60 parameters. In a part, slots are computed at the steps
    that leave the offset over when divided by the interval, counted from the beginning of the run.

    Args:
        layout: the slots.
        steps: of a run.
    """

    def __init__(self, layout: Layout, steps: int) -> None:
        self._layout, self._steps = layout, steps
        components = len(layout.components)
        bands = 2 if 2 * _PARTS * 2 * components <= _MOST else 1
        self.groups = np.asarray(layout.component_index) * bands
        if bands > 1:
            for component in range(components):
                of = np.flatnonzero(layout.component_index == component)
                self.groups[of[len(of) // 2 :]] += 1
        self.parts = np.arange(steps) * _PARTS // steps
        #: Names of parameters.
        self.names = [
            f"{what} {group}.{part}"
            for what in ("interval", "offset")
            for group in range(components * bands)
            for part in range(_PARTS)
        ]

    @property
    def longest(self) -> int:
        """The longest interval."""
        return min(_LONGEST, self._steps)

    def schedule(self, values: dict[str, int]) -> Schedule:
        """The schedule of a value for every parameter."""
        compute = np.zeros((self._steps, len(self._layout)), dtype=np.bool_)
        for slot, group in enumerate(self.groups):
            for step, part in enumerate(self.parts):
                interval, offset = values[f"interval {group}.{part}"], values[f"offset {group}.{part}"]
                compute[step, slot] = step % interval == offset % interval
        return Schedule(self._layout, compute)

    def uniform(self, interval: int) -> dict[str, int]:
        """FORA in these parameters."""
        return {name: interval if name.startswith("interval") else 0 for name in self.names}

    def seeds(self) -> list[dict[str, int]]:
        """FORA, and FORA that computes a part of the run whole."""
        found = [self.uniform(interval) for interval in range(1, self.longest + 1)]
        for interval in range(2, self.longest + 1):
            for part in range(_PARTS):
                whole = {name: 1 for name in self.names if name.startswith("interval") and name.endswith(f".{part}")}
                found.append({**self.uniform(interval), **whole})
        return found


def interval_nsga2(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Optuna's NSGA-II sampler, which knows the floor as a constraint."""
    import optuna

    _search(
        optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed),
        objective,
        IntervalSpace(layout, steps),
    )


def interval_tpe(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Optuna's TPE sampler for several objectives, all parameters together, which knows the floor as a constraint."""
    import optuna

    _search(
        optuna.samplers.TPESampler(seed=seed, multivariate=True),
        objective,
        IntervalSpace(layout, steps),
    )


def _search(sampler: BaseSampler, objective: Objective, space: IntervalSpace) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    floor = objective.floor()
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for seed in space.seeds():
        study.enqueue_trial(seed)
    while True:
        trial = study.ask()
        values = {
            name: trial.suggest_int(name, 1, space.longest)
            if name.startswith("interval")
            else trial.suggest_int(name, 0, space.longest - 1)
            for name in space.names
        }
        reward, gmacs = objective(space.schedule(values))
        trial.set_constraint("below the floor", floor - reward)
        study.tell(trial, [reward, gmacs])
