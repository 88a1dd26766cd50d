"""From all that a study has evaluated to the candidates of its next generation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StudyError
from studies import attributes
from studies.binary.config import BinaryConfig
from studies.binary.genome import Bits, pack_bits, unpack_all
from studies.binary.objectives import Roles, exact_values
from studies.binary.operators import grid_of, operators_of
from studies.binary.pool import Pool, in_order
from studies.binary.trust import Trust, trust_in
from studies.operators import breed, generation_gains, operator_odds
from surrogate import (
    GaussianForecast,
    TableSurrogate,
    bit_features,
    choose_batch,
    non_dominated,
)

__all__ = ["BinaryPlan", "Past", "first_plan", "next_plan", "predicted"]

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

#: Fewest evaluated genomes from which a surrogate is fitted.
_FIRST_FIT = 12
#: A search space of so many bits at most is small enough to look at all of it.
_SMALL = 12
#: The value that is told to Optuna may differ from an exact one by this part: what is kept as float32, say.
_TOLERANCE = 1e-4


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


@dataclass(frozen=True, eq=False)
class Past:
    """All that was evaluated before a generation, in an order that does not depend on when.

    Args:
        bits: ``(n, bits)``.
        values: ``(n, 2)`` finite, as told to Optuna.
        feasible: ``(n,)``: whether each meets the constraints of its trial.
        generation: ``(n,)``.
        operators: ``n`` names of the operators that bred each; empty for those that were not bred.
        foretold: ``(n, 2, 2)``: of each objective the prediction that each trial carries and its standard deviation;
            NaN where it has none.
        tried: genomes that are not to be tried again, those of failed trials among them.
    """

    bits: Bits
    values: Floats
    feasible: NDArray[np.bool_]
    generation: Integers
    operators: Sequence[str]
    foretold: Floats
    tried: frozenset[str]


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
    reference = roles.reference(past.values, config.reference) if len(past.values) else None
    reward, cost = roles.split(past.values)
    odds: Mapping[str, float] | None = None
    if config.adaptive and reference is not None:
        gains = np.zeros(len(reward))
        usable = np.flatnonzero(past.feasible)
        gains[usable] = generation_gains(past.generation[usable], reward[usable], cost[usable], reference)
        odds = operator_odds((name, float(gain)) for name, gain in zip(past.operators, gains, strict=True) if name)
    pool = Pool(pack_bits, past.tried)
    if len(parents):
        shape = (1, config.bits) if config.shape is None else config.shape
        crossovers, mutations = operators_of(config.shape)
        grid = grid_of(config.bits, config.shape)

        def offspring() -> tuple[Bits, list[str]]:
            children, names = breed(
                parents.reshape(-1, *shape), grid, rng, config.pool, odds, crossovers=crossovers, mutations=mutations
            )
            return children.reshape(-1, config.bits), names

        pool.fill(offspring, config.pool)
    _top_up(pool, config, rng, 2 * config.batch)
    # Drawn before anything else looks at the pool: these measure the surrogate on candidates it did not choose.
    lottery = rng.permutation(len(pool))
    if not config.surrogate or reference is None or len(reward) < _FIRST_FIT:
        order, filtered = in_order(lottery, config.unfiltered, None)
        return BinaryPlan(_listed(pool, order, filtered, {}), seconds=time.perf_counter() - start)

    trust = _trust(config, roles, past)
    bits = unpack_all(pool.candidates, config.bits)
    forecasts = _forecasts(config, past, bits, trust)
    trusted = not any(each.doubted for each in trust.values())

    def choose(rest: Integers) -> Integers:
        front = np.flatnonzero(past.feasible)
        front = front[non_dominated(reward[front], cost[front])]
        of_reward = roles.signed(roles.reward, forecasts[roles.reward]).subset(rest)
        of_cost = roles.signed(roles.cost, forecasts[roles.cost]).subset(rest)
        return choose_batch(
            of_reward,
            of_cost.reward if roles.cost in config.exact else of_cost,
            reward[front],
            cost[front],
            reference,
            config.batch - min(config.unfiltered, len(lottery)),
        )

    order, filtered = in_order(lottery, config.unfiltered, choose if trusted else None)
    foretold = {index: forecasts[index] for index in trust}
    return BinaryPlan(_listed(pool, order, filtered, foretold), trusted, trust, time.perf_counter() - start)


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


def _trust(config: BinaryConfig, roles: Roles, past: Past) -> dict[int, Trust]:
    """How far the predictions of each objective that is not exact held, at equal values of the other one."""
    found = {}
    signed = np.array(roles.signs) * past.values
    for index in (0, 1):
        if index not in config.exact:
            mean, std = roles.signs[index] * past.foretold[:, index, 0], past.foretold[:, index, 1]
            known = np.isfinite(mean)
            found[index] = trust_in(
                mean[known], std[known], signed[known, index], signed[known, 1 - index], config.trust
            )
    return found


def _forecasts(config: BinaryConfig, past: Past, bits: Bits, trust: Mapping[int, Trust]) -> dict[int, GaussianForecast]:
    """Of both objectives, in the units in which they are told to Optuna."""
    found = {}
    for index, values in exact_values(config.exact, bits).items():
        found[index] = GaussianForecast(values, np.zeros(len(values)))
    for index, values in exact_values(config.exact, past.bits).items():
        _check_exact(index, values, past.values[:, index])
    if trust:
        known, new = _features(config, past.bits), _features(config, bits)
        for index, each in trust.items():
            model = TableSurrogate(config.seed % 2**28).fit(known, past.values[:, index])
            found[index] = model.predict(new).stretched(each.stretch)
    return found


def _check_exact(index: int, values: Floats, told: Floats) -> None:
    scale = max(float(np.abs(told).max()), 1e-12)
    wrong = np.flatnonzero(np.abs(values - told) > _TOLERANCE * scale)
    if len(wrong):
        raise StudyError(
            f"The function of the exact objective {index} gives {values[wrong[0]]:g} for a genome that was evaluated "
            f"to {told[wrong[0]]:g}; leave out of 'exact' what is not known exactly."
        )


def _features(config: BinaryConfig, bits: Bits) -> Floats:
    if config.features is None:
        return bit_features(bits, config.shape)
    found = np.asarray(config.features(bits), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(bits) or not np.isfinite(found).all():
        raise StudyError(
            f"'features' gave an array of the shape {found.shape} for {len(bits)} genomes; it must give "
            "(genomes, features), all finite."
        )
    return found


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
