"""Breeds a pool of offspring and lets the surrogate choose which of them are worth a full evaluation."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.layout import Layout
from ecad_automl.schedule import Bits, Schedule
from studies.config import SearchConfig
from studies.operators import Grid, breed
from surrogate import FeatureContext, Reference, Surrogate, choose_batch, features, non_dominated

__all__ = ["Evaluated", "Plan", "Proposal", "propose"]

#: Fewest evaluated schedules from which a surrogate is fitted.
_FIRST_FIT = 12


@dataclass(frozen=True)
class Evaluated:
    """All that was evaluated before a generation, in an order that does not depend on when.

    Args:
        schedules: ``n`` schedules.
        reward: ``(n,)`` mean rewards.
        gmacs: ``(n,)``.
    """

    schedules: tuple[Schedule, ...]
    reward: NDArray[np.float64]
    gmacs: NDArray[np.float64]

    def compute(self) -> Bits:
        """``(n, steps, slots)`` effective bits."""
        return np.stack([schedule.effective for schedule in self.schedules])


@dataclass(frozen=True)
class Proposal:
    """One candidate for evaluation; predictions are None where no surrogate was used."""

    schedule: Schedule
    operator: str
    filtered: bool
    predicted_reward: float | None = None
    predicted_std: float | None = None


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
    reference: Reference,
    rng: np.random.Generator,
    *,
    trusted: bool = True,
) -> Plan:
    """The next generation.

    Args:
        layout: the slots.
        context: what the surrogate's features need.
        evaluated: everything evaluated so far.
        parents: the elite.
        config: pool, batch and unfiltered share.
        reference: of the hypervolume, in reward and GMACs.
        rng: source of all randomness.
        trusted: whether the surrogate may choose.
    """
    start = time.perf_counter()
    pool, operators = _offspring(layout, parents, set(evaluated.schedules), config.pool, rng)
    # Drawn before anything else looks at the pool: these measure the surrogate on candidates it did not choose.
    lottery = rng.permutation(len(pool))
    if not config.surrogate or len(evaluated.schedules) < _FIRST_FIT:
        plain = tuple(Proposal(pool[i], operators[i], filtered=False) for i in lottery)
        return Plan(plain, surrogate_used=False, seconds=time.perf_counter() - start)

    model = Surrogate(seed=config.seed)
    model.fit(features(evaluated.compute(), context), evaluated.reward)
    mean, std = model.predict(features(np.stack([schedule.effective for schedule in pool]), context))
    drawn = lottery[: config.unfiltered]
    chosen: list[int] = []
    if trusted:
        front = non_dominated(evaluated.reward, evaluated.gmacs)
        rest = np.setdiff1d(np.arange(len(pool)), drawn)
        gmacs = np.array([schedule.gmacs for schedule in pool])
        picks = choose_batch(
            mean[rest],
            std[rest],
            gmacs[rest],
            evaluated.reward[front],
            evaluated.gmacs[front],
            reference,
            config.batch - len(drawn),
        )
        chosen = [int(rest[i]) for i in picks]
    order = [*chosen, *(int(i) for i in lottery if int(i) not in set(chosen))]
    proposals = tuple(Proposal(pool[i], operators[i], i in set(chosen), float(mean[i]), float(std[i])) for i in order)
    return Plan(proposals, surrogate_used=trusted, seconds=time.perf_counter() - start)


def _offspring(
    layout: Layout, parents: Collection[Schedule], known: Collection[Schedule], count: int, rng: np.random.Generator
) -> tuple[list[Schedule], list[str]]:
    """Distinct children that were not evaluated before; fewer than ``count`` where the space is nearly exhausted."""
    grid = Grid(layout.block_index, layout.component_index)
    bits = np.stack([parent.effective for parent in parents])
    seen = set(known)
    pool: list[Schedule] = []
    operators: list[str] = []
    for _ in range(10):
        children, names = breed(bits, grid, rng, count)
        for child, name in zip(children, names, strict=True):
            schedule = Schedule(layout, child)
            if schedule not in seen and len(pool) < count:
                seen.add(schedule)
                pool.append(schedule)
                operators.append(name)
        if len(pool) >= count:
            break
    return pool, operators
