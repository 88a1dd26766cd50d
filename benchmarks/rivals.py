"""What a user could run instead of this search: each takes an objective on bits and a budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.heuristics import fora, tgate
from ecad_automl.layout import Layout
from ecad_automl.schedule import Schedule

#: Schedule -> (reward, GMACs); raises BudgetSpentError when the budget is spent.
Objective = Callable[[Schedule], tuple[float, float]]

POPULATION = 24


class BudgetSpentError(Exception):
    """The budget is spent."""


def random_search(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Independent bits, with the share of computes drawn evenly for each schedule."""
    rng = np.random.default_rng(seed)
    while True:
        objective(Schedule(layout, rng.random((steps, len(layout))) < rng.random()))


def optuna_nsga2(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Optuna's own NSGA-II sampler on one categorical parameter per bit, as its documentation would have it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    bits = steps * len(layout)
    space = {f"{i:04}": optuna.distributions.CategoricalDistribution([False, True]) for i in range(bits)}
    while True:
        trial = study.ask(space)
        compute = np.array([trial.params[name] for name in space]).reshape(steps, len(layout))
        study.tell(trial, list(objective(Schedule(layout, compute))))


def pymoo_ecad(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """Pymoo's NSGA-II in the settings of the ECAD authors, from FORA and TGATE variants.

    Four-point crossover at 0.9, bit-flip mutation at 0.05 (per individual: pymoo's rate per bit stays 1 / bits), binary
    tournament, duplicates removed, as many offspring as parents.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import PointCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.optimize import minimize

    class Problem(ElementwiseProblem):
        def __init__(self) -> None:
            super().__init__(n_var=steps * len(layout), n_obj=2, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: NDArray[np.bool_], out: dict[str, object], *_: object, **__: object) -> None:
            reward, gmacs = objective(Schedule(layout, x.reshape(steps, len(layout)).astype(bool)))
            out["F"] = [-reward, gmacs]

    algorithm = NSGA2(
        pop_size=POPULATION,
        n_offsprings=POPULATION,
        sampling=ecad_start(layout, steps, POPULATION, seed),
        crossover=PointCrossover(prob=0.9, n_points=4),
        mutation=BitflipMutation(prob=0.05),
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
    rng.shuffle(found)  # type: ignore[arg-type]
    rows = [schedule.compute.ravel() for schedule in found[:count]]
    while len(rows) < count:
        rows.append(rows[rng.integers(len(rows))] ^ (rng.random(steps * len(layout)) < 0.02))
    return np.array(rows)


RIVALS: dict[str, Callable[[Objective, Layout, int, int], None]] = {
    "Optuna NSGA-II": optuna_nsga2,
    "pymoo NSGA-II (ECAD)": pymoo_ecad,
    "random": random_search,
}
