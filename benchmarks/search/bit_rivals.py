"""Searches over bits that a user could run instead of this one, by the libraries that have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.objective import Evaluate
from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.heuristics import fora, tgate
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

__all__ = [
    "FLIP_RATE",
    "POPULATION",
    "ecad_start",
    "optuna_nsga2",
    "optuna_tpe",
    "pymoo_ecad",
    "pymoo_per_bit",
    "random_search",
]

POPULATION = 24
#: Of the proper mutation: two or three of 480 bits.
FLIP_RATE = 0.005


def random_search(evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    """Independent bits, with the share of computes drawn evenly for each schedule."""
    rng = np.random.default_rng(seed)
    while True:
        evaluate(Schedule(layout, rng.random((steps, len(layout))) < rng.random()))


def optuna_nsga2(evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    """Optuna's own NSGA-II sampler on one categorical parameter per bit, as its documentation would have it."""
    import optuna

    _optuna(optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed), evaluate, layout, steps)


def optuna_tpe(evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    """Optuna's TPE sampler for several objectives in its default settings, on one categorical parameter per bit."""
    import optuna

    _optuna(optuna.samplers.TPESampler(seed=seed), evaluate, layout, steps)


def _optuna(sampler: BaseSampler, evaluate: Evaluate, layout: Layout, steps: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    bits = steps * len(layout)
    space: dict[str, BaseDistribution] = {
        f"{i:04}": optuna.distributions.CategoricalDistribution([False, True]) for i in range(bits)
    }
    while True:
        trial = study.ask(space)
        params = trial.params  # a deep copy each time it is read
        compute = np.array([params[name] for name in space]).reshape(steps, len(layout))
        study.tell(trial, list(evaluate(Schedule(layout, compute))))


def pymoo_ecad(evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    """Pymoo's NSGA-II in the settings of the ECAD authors, from FORA and TGATE variants.

    Four-point crossover at 0.9, bit-flip mutation at 0.05 (per individual: pymoo's rate per bit stays 1 / bits), binary
    tournament, duplicates removed, as many offspring as parents.
    """
    from pymoo.operators.mutation.bitflip import BitflipMutation

    _pymoo(BitflipMutation(prob=0.05), evaluate, layout, steps, seed)


def pymoo_per_bit(evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    """The same with a mutation that flips every bit of every offspring at :data:`FLIP_RATE`."""
    from pymoo.operators.mutation.bitflip import BitflipMutation

    _pymoo(BitflipMutation(prob=1.0, prob_var=FLIP_RATE), evaluate, layout, steps, seed)


def _pymoo(mutation: Any, evaluate: Evaluate, layout: Layout, steps: int, seed: int) -> None:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.pntx import PointCrossover
    from pymoo.optimize import minimize

    class Problem(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=steps * len(layout), n_obj=2, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: NDArray[np.bool_], out: dict[str, object], *_: object, **__: object) -> None:
            reward, gmacs = evaluate(Schedule(layout, x.reshape(steps, len(layout)).astype(bool)))
            out["F"] = [-reward, gmacs]

    algorithm = NSGA2(
        pop_size=POPULATION,
        n_offsprings=POPULATION,
        sampling=ecad_start(layout, steps, POPULATION, seed),
        crossover=PointCrossover(prob=0.9, n_points=4),
        mutation=mutation,
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
    rows = [schedule.compute.ravel() for schedule in found[:count]]
    while len(rows) < count:
        rows.append(rows[rng.integers(len(rows))] ^ (rng.random(steps * len(layout)) < 0.02))
    return np.array(rows)
