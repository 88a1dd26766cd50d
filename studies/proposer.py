"""Breeds a pool of offspring and lets the surrogate choose which of them are worth a full evaluation."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule
from studies.binary.pool import Pool, in_order
from studies.config import SearchConfig
from studies.cost import Cost
from studies.operators import Grid, breed
from studies.quality import Scale
from surrogate import (
    ConstrainedForecast,
    FeatureContext,
    Prior,
    Surrogate,
    choose_batch,
    non_dominated,
    probability_above,
)

__all__ = ["Evaluated", "Pending", "Plan", "Proposal", "Room", "propose"]

#: Fewest evaluated schedules from which a surrogate is fitted.
_FIRST_FIT = 12


@dataclass(frozen=True)
class Room:
    """How far evaluated schedules are inside the bound of a constraint.

    Args:
        values: ``(n,)``, below 0 outside; NaN where it is not known.
        uncached: of the uncached run, above 0.
    """

    values: NDArray[np.float64]
    uncached: float


@dataclass(frozen=True)
class Evaluated:
    """All that was evaluated before a generation, in an order that does not depend on when.

    Args:
        schedules: ``n`` schedules.
        reward: ``(n,)`` mean rewards.
        cost: ``(n,)``.
        share: ``(n,)``: the share of images that each reward is the mean of; below 1 where the evaluation was stopped.
        feasible: ``(n,)``: whether each meets the constraints, as far as is known; None where there are none.
        rooms: what the constraints left to each, one of each constraint.
    """

    schedules: tuple[Schedule, ...]
    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    share: NDArray[np.float64]
    feasible: NDArray[np.bool_] | None = None
    rooms: Sequence[Room] = ()

    def compute(self) -> Bits:
        """``(n, steps, slots)`` effective bits."""
        return np.stack([schedule.effective for schedule in self.schedules])

    def front(self) -> NDArray[np.intp]:
        """Indices of the non-dominated ones among those that were evaluated whole and are feasible."""
        whole = np.flatnonzero((self.share == 1.0) & (True if self.feasible is None else self.feasible))
        return whole[non_dominated(self.reward[whole], self.cost[whole])]


@dataclass(frozen=True)
class Proposal:
    """One candidate for evaluation; predictions are None where no surrogate was used."""

    schedule: Schedule
    operator: str
    filtered: bool
    predicted_reward: float | None = None
    predicted_std: float | None = None


@dataclass(frozen=True)
class Pending:
    """A candidate that is being evaluated.

    Args:
        schedule: the candidate.
        cost: of it.
        reward: what the surrogate has foretold; None where it has not.
    """

    schedule: Schedule
    cost: float
    reward: float | None


@dataclass(frozen=True)
class Plan:
    """The candidates of one generation, and after them spare ones for candidates that fail.

    Args:
        proposals: in the order in which to evaluate them.
        surrogate_used: whether the surrogate chose.
        seconds: wall time of breeding, features, fit and choice.
    """

    proposals: tuple[Proposal, ...]
    surrogate_used: bool
    seconds: float


def propose(
    layout: Layout,
    context: FeatureContext,
    evaluated: Evaluated,
    parents: Collection[Schedule],
    config: SearchConfig,
    cost: Cost,
    scale: Scale,
    rng: np.random.Generator,
    *,
    trusted: bool = True,
    stretch: float = 1.0,
    prior: Prior | None = None,
    odds: Mapping[str, float] | None = None,
    pending: Sequence[Pending] = (),
) -> Plan:
    """The next generation.

    Args:
        layout: the slots.
        context: what the surrogate's features need.
        evaluated: everything evaluated so far.
        parents: the elite.
        config: pool, batch and unfiltered share.
        cost: what is minimized.
        scale: the rewards and costs of interest.
        rng: source of all randomness.
        trusted: whether the surrogate may choose.
        stretch: by what to stretch the intervals of its predictions.
        prior: evaluations of another study, for the surrogate.
        odds: of the operators by name; all alike if None.
        pending: candidates that are being evaluated. They are not proposed again, and where the surrogate has foretold
            their reward, what they will add to the front is taken as added.
    """
    start = time.perf_counter()
    grid = Grid(layout.block_index, layout.component_index)
    known = [*evaluated.schedules, *(candidate.schedule for candidate in pending)]
    pool = Pool(lambda child: Schedule(layout, child), known)
    parent_bits = np.stack([parent.effective for parent in parents])
    pool.fill(lambda: breed(parent_bits, grid, rng, config.pool, odds), config.pool)
    schedules, operators = pool.candidates, pool.operators
    # Drawn before anything else looks at the pool: these measure the surrogate on candidates it did not choose.
    lottery = rng.permutation(len(schedules))
    if not config.surrogate or len(evaluated.schedules) < _FIRST_FIT:
        order, _ = in_order(lottery, config.unfiltered, None)
        plain = tuple(Proposal(schedules[i], operators[i], filtered=False) for i in order)
        return Plan(plain, surrogate_used=False, seconds=time.perf_counter() - start)

    model = Surrogate(context, config.seed, prior, scale.span)
    model.fit(evaluated.compute(), evaluated.reward, evaluated.share)
    forecast = model.predict(np.stack([schedule.effective for schedule in schedules])).stretched(stretch)

    def choose(rest: NDArray[np.intp]) -> NDArray[np.intp]:
        front = evaluated.front()
        foretold = [candidate for candidate in pending if candidate.reward is not None]
        feasible = _feasibility(evaluated, schedules, context, config.seed)
        return choose_batch(
            ConstrainedForecast(forecast, feasible).subset(rest),
            cost.of(schedules)[rest],
            np.append(evaluated.reward[front], [each.reward for each in foretold]),
            np.append(evaluated.cost[front], [each.cost for each in foretold]),
            scale.reference,
            config.offspring - min(config.unfiltered, len(lottery)),
        )

    order, filtered = in_order(lottery, config.unfiltered, choose if trusted else None)
    reward, std = forecast.reward, forecast.std
    proposals = tuple(
        Proposal(schedules[i], operators[i], i in filtered, float(reward[i]), float(std[i])) for i in order
    )
    return Plan(proposals, surrogate_used=trusted, seconds=time.perf_counter() - start)


def _feasibility(
    evaluated: Evaluated, candidates: Sequence[Schedule], context: FeatureContext, seed: int
) -> NDArray[np.float64]:
    """``(n,)``: the probability that a candidate meets all constraints, each told by a surrogate of its own."""
    probability = np.ones(len(candidates))
    if not evaluated.rooms:
        return probability
    known, compute = evaluated.compute(), np.stack([schedule.effective for schedule in candidates])
    for room in evaluated.rooms:
        measured = np.isfinite(room.values)
        if measured.sum() >= _FIRST_FIT:
            model = Surrogate(context, seed, spread=room.uncached)
            model.fit(known[measured], room.values[measured])
            probability *= probability_above(model.predict(compute), 0.0)
    return probability
