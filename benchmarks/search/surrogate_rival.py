"""A search that leans on a surrogate of the raw bits, as a generic toolbox has it.

The loop is that of SSA-NSGA-II in pysamoo (Blank and Deb, arXiv 2204.05855), written anew since pysamoo does not
install beside current libraries. Every round fits a surrogate to all that was evaluated, lets NSGA-II run on it for
some generations, and evaluates a few of its last population, one of each cluster in the space of predicted objectives.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.bit_rivals import FLIP_RATE, POPULATION, ecad_start
from benchmarks.search.objective import Objective
from ecad_automl.schedules.effect import effective_compute
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = ["INFILLS", "Regression", "surrogate_nsga2"]

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: pysamoo's defaults: evaluations of a round, population and generations on the surrogate.
INFILLS = 10
_INNER_POPULATION = 100
_INNER_GENERATIONS = 30
#: And of its choice of a model: folds at first, and how many later judgements count.
_FOLDS = 5
_REMEMBERED = 5


def surrogate_nsga2(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """SSA-NSGA-II on raw bits, from the same population as the plain NSGA-II.

    The surrogate predicts the reward; the cost is computed exactly, which is more than the toolbox would know. What is
    predicted to be below the floor is evaluated only where nothing else is left.
    """
    floor = objective.floor()
    rng = np.random.default_rng(seed)
    bits = ecad_start(layout, steps, POPULATION, seed)
    objectives = _evaluated(objective, layout, steps, bits)
    regression = Regression(rng)
    regression.judge_by_folds(bits, objectives[:, 0])
    while True:
        predict = regression.fit(bits, objectives[:, 0])

        def predicted(rows: Bits, predict: Callable[[Bits], Floats] = predict) -> Floats:
            return np.column_stack([predict(rows), _gmacs(layout, steps, rows)])

        found, values, crowding = _inner_search(predicted, bits, objectives, int(rng.integers(2**31)))
        fresh = np.array([not (row == bits).all(axis=1).any() for row in found], dtype=np.bool_)
        if (fresh & (values[:, 0] <= -floor)).any():
            fresh &= values[:, 0] <= -floor
        if fresh.any():
            chosen = found[fresh][_spread(values[fresh], crowding[fresh], INFILLS, rng)]
        else:  # else it would stand still for ever
            chosen = bits[rng.integers(len(bits), size=INFILLS)]
            chosen = chosen ^ (rng.random(chosen.shape) < FLIP_RATE)
        results = _evaluated(objective, layout, steps, chosen)
        regression.judge(bits, objectives[:, 0], chosen, results[:, 0])
        bits, objectives = np.concatenate([bits, chosen]), np.concatenate([objectives, results])


def _evaluated(objective: Objective, layout: Layout, steps: int, rows: Bits) -> Floats:
    """``(n, 2)``: the reward with its sign turned, and the cost."""
    points = [objective(Schedule(layout, row.reshape(steps, len(layout)))) for row in rows]
    return np.array([(-reward, gmacs) for reward, gmacs in points])


def _gmacs(layout: Layout, steps: int, rows: Bits) -> Floats:
    effective = effective_compute(rows.reshape(-1, steps, len(layout)), layout.reader_index)
    macs: Floats = (steps * layout.constant_macs + effective.sum(axis=1) @ layout.slot_macs) / 1e9
    return macs


def _inner_search(
    predicted: Callable[[Bits], Floats], bits: Bits, objectives: Floats, seed: int
) -> tuple[Bits, Floats, Floats]:
    """NSGA-II on predictions, from all that was evaluated.

    Returns:
        Bits, objectives and crowding distances of its last population.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.evaluator import Evaluator
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.pntx import PointCrossover
    from pymoo.operators.mutation.bitflip import BitflipMutation
    from pymoo.optimize import minimize
    from pymoo.problems.static import StaticProblem

    class Predicted(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=bits.shape[1], n_obj=2, xl=0, xu=1, vtype=bool)

        def _evaluate(self, x: Bits, out: dict[str, object], *_: object, **__: object) -> None:
            out["F"] = predicted(x.astype(np.bool_))

    problem = Predicted()
    start = Population.new(X=bits)
    Evaluator().eval(StaticProblem(problem, F=objectives), start)  # these keep their measured rewards
    algorithm = NSGA2(
        pop_size=_INNER_POPULATION,
        sampling=start,
        crossover=PointCrossover(prob=0.9, n_points=4),
        mutation=BitflipMutation(prob=1.0, prob_var=FLIP_RATE),
        eliminate_duplicates=True,
    )
    last = minimize(problem, algorithm, ("n_gen", _INNER_GENERATIONS), seed=seed).pop
    return last.get("X").astype(np.bool_), last.get("F"), last.get("crowding").astype(np.float64)


def _spread(values: Floats, crowding: Floats, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """One of each cluster of predicted objectives, the lonelier the more likely.

    Args:
        values: ``(n, 2)``.
        crowding: ``(n,)`` crowding distances.
        count: how many clusters.
        rng: of the choice.

    Returns:
        Indices, at most ``count``.
    """
    from sklearn.cluster import KMeans

    if len(values) <= count:
        return np.arange(len(values))
    low, high = values.min(axis=0), values.max(axis=0)
    scaled = (values - low) / np.maximum(high - low, 1e-16)
    with warnings.catch_warnings(action="ignore"):  # fewer distinct values than clusters
        labels = KMeans(count, n_init=10, random_state=int(rng.integers(2**31))).fit(scaled).labels_
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        weights = 1.0 + crowding[members].argsort().argsort()
        chosen.append(rng.choice(members, p=weights / weights.sum()))
    return np.array(chosen, dtype=np.intp)


class _Model(Protocol):
    def fit(self, x: Floats, y: Floats) -> Any: ...

    def predict(self, x: Floats) -> Floats: ...


class Regression:
    """The best of a few models of raw bits, as judged by what was evaluated lately.

    As in pysamoo, models are judged by folds of the first evaluations and then, each round, by what they had predicted
    for the new ones: by Kendall's tau, averaged over the last judgements, and by the absolute error where it is equal.

    Args:
        rng: of the folds.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._judged = {name: deque[tuple[float, float]](maxlen=_REMEMBERED) for name in _MODELS}

    @property
    def best(self) -> str:
        """Name of the model that was best lately."""
        means = {name: np.mean(judged, axis=0) for name, judged in self._judged.items()}
        return max(means, key=lambda name: (means[name][0], -means[name][1]))

    def judge_by_folds(self, bits: Bits, values: Floats) -> None:
        """Judge all models on evaluations that they were not fitted to."""
        for fold in np.array_split(self._rng.permutation(len(bits)), _FOLDS):
            rest = np.setdiff1d(np.arange(len(bits)), fold)
            self.judge(bits[rest], values[rest], bits[fold], values[fold])

    def judge(self, bits: Bits, values: Floats, new_bits: Bits, new_values: Floats) -> None:
        """Judge all models, fitted to some evaluations, on others."""
        from scipy.stats import kendalltau

        for name in _MODELS:
            predicted = _fitted(name, bits, values)(new_bits)
            tau = float(kendalltau(predicted, new_values).statistic) if len(new_values) > 1 else np.nan
            error = float(np.abs(predicted - new_values).mean())
            self._judged[name].append((-1.0 if np.isnan(tau) else tau, error))

    def fit(self, bits: Bits, values: Floats) -> Callable[[Bits], Floats]:
        """The best model, fitted: from ``(n, bits)`` to ``(n,)`` predictions."""
        return _fitted(self.best, bits, values)


def _fitted(name: str, bits: Bits, values: Floats) -> Callable[[Bits], Floats]:
    mean, scale = values.mean(), max(values.std(), 1e-12)
    model = _MODELS[name]()
    with warnings.catch_warnings(action="ignore"):  # length scales at their bounds, which is an answer too
        model.fit(bits.astype(np.float64), (values - mean) / scale)
    return lambda rows: np.asarray(model.predict(rows.astype(np.float64))).ravel() * scale + mean


def _ridge() -> _Model:
    from sklearn.linear_model import RidgeCV

    model: _Model = RidgeCV(np.geomspace(1e-2, 1e4, 13))
    return model


def _gaussian_process() -> _Model:
    """Kriging with a constant mean."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(10.0, (0.3, 300.0)) + WhiteKernel(1e-2, (1e-6, 1e1))
    model: _Model = GaussianProcessRegressor(kernel, random_state=0)
    return model


def _linear_gaussian_process() -> _Model:
    """Kriging with a linear mean."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

    linear = ConstantKernel(1e-2, (1e-6, 1e2)) * DotProduct(1.0, "fixed")
    curved = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(10.0, (0.3, 300.0))
    model: _Model = GaussianProcessRegressor(linear + curved + WhiteKernel(1e-2, (1e-6, 1e1)), random_state=0)
    return model


class _RadialBasis:
    """Interpolation by radial basis functions with a constant tail."""

    def fit(self, x: Floats, y: Floats) -> None:
        from scipy.interpolate import RBFInterpolator

        self._function = RBFInterpolator(x, y, kernel="linear", degree=0)

    def predict(self, x: Floats) -> Floats:
        values: Floats = self._function(x)
        return values


_MODELS: dict[str, Callable[[], _Model]] = {
    "radial basis": _RadialBasis,
    "kriging": _gaussian_process,
    "kriging with a linear mean": _linear_gaussian_process,
    "ridge": _ridge,
}
