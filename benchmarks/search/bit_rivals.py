"""Searches over bits that a user could run instead of this one.

All but the random one are told the floor: what is below it breaks a constraint.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.objective import Objective
from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.heuristics import fora, tgate
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = [
    "FLIP_RATE",
    "POPULATION",
    "ecad_start",
    "filled_up",
    "nsga2_from",
    "pymoo_ecad",
    "pymoo_per_bit",
    "random_search",
]

POPULATION = 24
#: Of the proper mutation: two or three of 480 bits.
FLIP_RATE = 0.005
#: Of the bits of a schedule that fills up a first population.
_FLIPPED = 0.02


def random_search(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Independent bits, with the share of computes drawn evenly for each schedule."""
    rng = np.random.default_rng(seed)
    while True:
        objective(Schedule(layout, rng.random((steps, len(layout))) < rng.random()))


def pymoo_ecad(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Pymoo's NSGA-II in the settings of the ECAD authors, from FORA and TGATE variants.

    Four-point crossover at 0.9, bit-flip mutation at 0.05 (per individual: pymoo's rate per bit stays 1 / bits), binary
    tournament, duplicates removed, as many offspring as parents.
    """
    nsga2_from(ecad_start(layout, steps, POPULATION, seed), objective, layout, steps, seed)


def pymoo_per_bit(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """The same with a mutation that flips every bit of every offspring at :data:`FLIP_RATE`."""
    start = ecad_start(layout, steps, POPULATION, seed)
    nsga2_from(start, objective, layout, steps, seed, mutation=1.0, per_bit=FLIP_RATE)


def nsga2_from(
    start: NDArray[np.bool_],
    objective: Objective,
    layout: Layout,
    steps: int,
    seed: int,
    *,
    mutation: float = 0.05,
    per_bit: float | None = None,
) -> None:
    """Pymoo's NSGA-II in the settings of the ECAD authors from any population.

    Args:
        start: ``(population, steps * slots)`` bool.
        objective: what is searched.
        layout: the slots.
        steps: of a run.
        seed: of all choices.
        mutation: share of offspring that are mutated.
        per_bit: chance that a bit of these is flipped, 1 / bits if None.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import PointCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.optimize import minimize

    floor = objective.floor()

    class Problem(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=steps * len(layout), n_obj=2, n_ieq_constr=1, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: NDArray[np.bool_], out: dict[str, object], *_: object, **__: object) -> None:
            reward, gmacs = objective(Schedule(layout, x.reshape(steps, len(layout)).astype(bool)))
            out["F"], out["G"] = [-reward, gmacs], [floor - reward]

    algorithm = NSGA2(
        pop_size=POPULATION,
        n_offsprings=POPULATION,
        sampling=start,
        crossover=PointCrossover(prob=0.9, n_points=4),
        mutation=BitflipMutation(prob=mutation, prob_var=per_bit),
        eliminate_duplicates=True,
    )
    minimize(Problem(), algorithm, ("n_gen", 10_000), seed=seed)


def ecad_start(layout: Layout, steps: int, count: int, seed: int) -> NDArray[np.bool_]:
    """Hand-made FORA and TGATE variants, then FORA variants with a few bits flipped until there are enough.

    Returns:
        ``(count, steps * slots)`` bool.
    """
    named = [fora(layout, steps, n) for n in range(1, steps // 2 + 1)]
    for component in layout.components:
        named += [fora(layout, steps, n, components=[component]) for n in (2, 3, 5)]
    for gate in range(3, steps, 3):
        for interval in (1, 2, 3):
            try:
                named.append(tgate(layout, steps, gate, self_interval=interval))
            except ScheduleError:  # no cross-attention in this transformer
                break
    found = list(dict.fromkeys(named))
    rng = np.random.default_rng(seed)
    rng.shuffle(found)
    return filled_up(found[:count], count, rng)


def filled_up(schedules: Sequence[Schedule], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """``(count, steps * slots)`` bool: schedules, then drawn ones of them with a few bits flipped."""
    rows = [schedule.compute.ravel() for schedule in schedules]
    while len(rows) < count:
        drawn = rows[rng.integers(len(rows))]
        rows.append(drawn ^ (rng.random(len(drawn)) < _FLIPPED))
    return np.array(rows)
