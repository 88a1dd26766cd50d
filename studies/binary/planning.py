"""From all that a study has evaluated to the candidates of its next generation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies import attributes
from studies.binary.config import BinaryConfig
from studies.binary.genome import Bits, pack_bits, unpack_all
from studies.binary.model import FIRST_FIT, Model, Past
from studies.binary.objectives import Roles
from studies.binary.operators import grid_of, operators_of
from studies.binary.pool import Pool, in_order
from studies.binary.trust import Trust
from studies.operators import breed, generation_gains, operator_odds
from surrogate import (
    ConstrainedForecast,
    GaussianForecast,
    choose_batch,
    non_dominated,
)

__all__ = ["BinaryPlan", "first_plan", "next_plan", "predicted"]

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

#: Candidates of a plan that are kept, in batches: spare ones are needed where evaluations fail.
_KEPT = 20
#: A search space of so many bits at most is small enough to look at all of it.
_SMALL = 12


@dataclass(frozen=True)
class BinaryPlan:
    """The candidates of one generation, and after them spare ones for candidates that fail.

    Args:
        candidates: genome and attributes of each, in the order in which to evaluate them.
        surrogate_used: whether the surrogate chose.
        trust: in the predictions of each objective that is not exact, by its index.
        seconds: wall time of all of it.
    """

    candidates: tuple[tuple[str, Mapping[str, Any]], ...]
    surrogate_used: bool = False
    trust: Mapping[int, Trust] = field(default_factory=dict)
    seconds: float = 0.0


def predicted(index: int) -> tuple[str, str]:
    """Names of the attributes that hold the prediction of an objective and its standard deviation."""
    return f"predicted_{index}", f"predicted_std_{index}"


def first_plan(config: BinaryConfig, tried: frozenset[str]) -> BinaryPlan:
    """Generation 0: random genomes whose shares of ones are spread evenly from 0 to 1, in random order."""
    start = time.perf_counter()
    rng = np.random.default_rng([config.seed, 0])
    pool = Pool(pack_bits, tried)
    shares = rng.permutation((np.arange(config.initial) + rng.random(config.initial)) / config.initial)
    pool.add(rng.random((config.initial, config.bits)) < shares[:, None], [""] * config.initial, config.initial)
    # Spare ones: for genomes that were tried already, or fail.
    _top_up(pool, config, rng, 2 * config.initial + config.batch)
    candidates = [(genome, _attributes("random", filtered=False)) for genome in pool.candidates]
    return BinaryPlan(tuple(candidates), seconds=time.perf_counter() - start)


def next_plan(config: BinaryConfig, roles: Roles, generation: int, past: Past, parents: Bits) -> BinaryPlan:
    """A bred generation. Its random stream depends on its number and the seed alone.

    Args:
        config: the settings.
        roles: of the objectives.
        generation: its number, from 1.
        past: everything evaluated so far, at least one.
        parents: ``(p, bits)`` the elite; without any, candidates are random.
    """
    start = time.perf_counter()
    rng = np.random.default_rng([config.seed, generation])
    # Infeasible trials say how good others may be only where there are no feasible ones.
    of_interest = past.values[past.feasible] if past.feasible.any() else past.values
    reference = roles.reference(of_interest, config.reference) if len(of_interest) else None
    reward, cost = roles.split(past.values)
    odds: Mapping[str, float] | None = None
    if config.adaptive and reference is not None:
        gains = np.zeros(len(reward))
        usable = np.flatnonzero(past.feasible)
        gains[usable] = generation_gains(past.generation[usable], reward[usable], cost[usable], reference)
        odds = operator_odds((name, float(gain)) for name, gain in zip(past.operators, gains, strict=True) if name)
    pool = Pool(pack_bits, past.tried)
    offspring = _offspring(config, odds, rng)
    if len(parents):
        pool.fill(lambda: offspring(parents), config.pool)
    _top_up(pool, config, rng, 2 * config.batch)
    if not len(pool):
        return BinaryPlan(())
    # Drawn before anything else looks at the pool: these measure the surrogate on candidates it did not choose.
    lottery = rng.permutation(len(pool))
    if not config.surrogate or reference is None or len(reward) < FIRST_FIT:
        order, filtered = in_order(lottery, config.unfiltered, None)
        return BinaryPlan(
            _listed(pool, order[: _KEPT * config.batch], filtered, {}), seconds=time.perf_counter() - start
        )

    model = Model(config, roles, past)
    trusted = not any(each.doubted for each in model.trust.values())
    front = np.flatnonzero(past.feasible)
    front = front[non_dominated(reward[front], cost[front])]
    forecast = model.predict(unpack_all(pool.candidates, config.bits))

    def choose(rest: Integers, count: int) -> Integers:
        of_reward, of_cost = (roles.signed(i, forecast.objectives[i]).subset(rest) for i in (roles.reward, roles.cost))
        known = of_cost.reward if roles.cost in config.exact else of_cost
        expected = ConstrainedForecast(of_reward, forecast.feasible[rest])
        return choose_batch(expected, known, reward[front], cost[front], reference, count)

    for _ in range(config.rounds - 1 if trusted else 0):
        # The most promising children breed in turn, beside the parents.
        best = unpack_all((pool.candidates[i] for i in choose(np.arange(len(pool)), config.parents)), config.bits)
        before = len(pool)
        pool.fill(partial(offspring, np.concatenate([parents, best])), before + config.pool)
        if len(pool) == before:
            break
        forecast = forecast.joined(model.predict(unpack_all(pool.candidates[before:], config.bits)))
    lottery = np.concatenate([lottery, np.arange(len(lottery), len(pool))])
    count = config.batch - min(config.unfiltered, len(lottery))
    order, filtered = in_order(lottery, config.unfiltered, partial(choose, count=count) if trusted else None)
    foretold = {index: forecast.objectives[index] for index in model.trust}
    candidates = _listed(pool, order[: _KEPT * config.batch], filtered, foretold)
    return BinaryPlan(candidates, trusted, model.trust, time.perf_counter() - start)


def _offspring(
    config: BinaryConfig, odds: Mapping[str, float] | None, rng: np.random.Generator
) -> Callable[[Bits], tuple[Bits, list[str]]]:
    """From parents ``(p, bits)`` to a pool's worth of children and the names of the operators that made them."""
    shape = (1, config.bits) if config.shape is None else config.shape
    crossovers, mutations = operators_of(config.shape)
    grid = grid_of(config.bits, config.shape)

    def offspring(parents: Bits) -> tuple[Bits, list[str]]:
        rows = parents.reshape(-1, *shape)
        children, names = breed(rows, grid, rng, config.pool, odds, crossovers=crossovers, mutations=mutations)
        return children.reshape(-1, config.bits), names

    return offspring


def _top_up(pool: Pool[str], config: BinaryConfig, rng: np.random.Generator, size: int) -> None:
    """Random genomes where parents have too few new children; of few bits, all genomes that are left."""
    if len(pool) >= size:
        return
    if config.bits <= _SMALL:
        numbers = rng.permutation(2**config.bits)
        found = (numbers[:, None] >> np.arange(config.bits)) & 1 == 1
    else:
        found = rng.random((size, config.bits)) < rng.random((size, 1))
    pool.add(found, ["random"] * len(found), size)


def _listed(
    pool: Pool[str], order: Sequence[int], filtered: frozenset[int], forecasts: Mapping[int, GaussianForecast]
) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    found = []
    for i in order:
        values = _attributes("bred", filtered=i in filtered) | {attributes.OPERATOR: pool.operators[i]}
        for index, forecast in forecasts.items():
            for name, value in zip(predicted(index), (forecast.reward[i], forecast.std[i]), strict=True):
                values[name] = float(value)
        found.append((pool.candidates[i], values))
    return tuple(found)


def _attributes(origin: str, *, filtered: bool) -> dict[str, Any]:
    return {attributes.ORIGIN: origin, attributes.FILTERED: filtered}
