"""Breeds a pool of candidates and lets surrogates choose which of them are worth an evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from studies.breeding._credit import improvements, operator_odds
from studies.breeding.space import Candidate, Expected, Genes, Past, Pending, Predict, Space
from studies.config import BreedingConfig
from surrogate import Accuracy, Reference, choose_batch

#: Fewest evaluated candidates from which a surrogate is fitted.
FEWEST_FOR_A_FIT = 12
#: In place of an operator's name, of what no operator made: it was there before.
READY = "least-error"
#: Times that the parents may breed a pool's worth of children to fill the pool with distinct ones.
_ATTEMPTS = 10
#: Candidates of a plan that are kept, for one that is evaluated: spare ones are needed where evaluations fail.
_KEPT = 50


@dataclass(frozen=True)
class Proposal(Generic[Candidate]):
    """One candidate for evaluation.

    Args:
        candidate: it.
        operator: names of the operators that bred it, joined by ``+``; empty where none did.
        filtered: whether the surrogate chose it.
        predicted: what its trial keeps of the predictions, by attribute; empty where no surrogate was used.
        origin: what made it.
    """

    candidate: Candidate
    operator: str = ""
    filtered: bool = False
    predicted: Mapping[str, float] = field(default_factory=dict)
    origin: str = "bred"


@dataclass(frozen=True)
class Plan(Generic[Candidate]):
    """The candidates of one generation, and after them spare ones for candidates that fail.

    Args:
        proposals: in the order in which to evaluate them.
        surrogate_used: whether the surrogate chose.
        accuracy: of past predictions, of the reward first.
        seconds: wall time of breeding, features, fit and choice.
    """

    proposals: tuple[Proposal[Candidate], ...] = ()
    surrogate_used: bool = False
    accuracy: Sequence[Accuracy] = ()
    seconds: float = 0.0


def propose(
    space: Space[Candidate],
    past: Past[Candidate],
    parents: Sequence[Candidate],
    config: BreedingConfig,
    rng: np.random.Generator,
    pending: Sequence[Pending[Candidate]] = (),
) -> Plan[Candidate]:
    """The next generation, from all that was evaluated so far.

    Candidates that are being evaluated are not proposed again, and where their reward was predicted, what they will add
    to the front is taken as added.
    """
    start = time.perf_counter()
    reference = space.reference(past)
    accuracy = space.accuracy(past, config.min_rank_correlation)
    odds = None
    if config.adaptive and reference is not None:
        odds = operator_odds(past.operators, improvements(past, reference))
    pool = _Pool(space, past, pending)
    genes = space.genes(parents)
    if len(genes):
        pool.fill(genes, config.pool, odds, rng)
    ready = space.ready()
    pool.add(ready, [READY] * len(ready), len(pool) + len(ready))
    if len(pool) < 2 * config.offspring:
        fresh = space.fresh(2 * config.offspring, rng)
        pool.add(fresh, ["random"] * len(fresh), 2 * config.offspring)
    # Drawn before anything else looks at the pool: these measure the surrogate on candidates it did not choose.
    drawn = rng.permutation(len(pool))
    chosen: list[int] = []
    predicted: Mapping[str, NDArray[np.float64]] = {}
    usable = all(each.usable for each in accuracy)
    fitted = config.surrogate and reference is not None and len(past) >= FEWEST_FOR_A_FIT and len(pool) > 0
    if fitted and reference is not None:
        predict = space.fit(past, accuracy)
        front = _Front.of(past, [each for each in pending if np.isfinite(each.reward)], space, predict, reference)
        expected = predict(pool.genes())
        for _ in range(config.rounds - 1 if usable else 0):
            # The most promising children breed in turn, beside the parents.
            best = pool.genes()[front.choose(expected, config.population)]
            before = len(pool)
            pool.fill(np.concatenate([genes, best]), config.pool, odds, rng)
            if len(pool) == before:
                break
            expected = expected.joined(predict(pool.genes(before)))
        drawn = np.concatenate([drawn, np.arange(len(drawn), len(pool))])
        if usable:
            rest = np.setdiff1d(drawn, drawn[: config.unfiltered])
            count = config.offspring - min(config.unfiltered, len(drawn))
            chosen = rest[front.choose(expected.subset(rest), count)].tolist()
        predicted = space.predictions(expected)
    order = list(dict.fromkeys([*chosen, *drawn.tolist()]))
    proposals = [
        Proposal(
            pool.candidates[index],
            pool.operators[index],
            place < len(chosen),
            {name: float(values[index]) for name, values in predicted.items()},
        )
        for place, index in enumerate(order[: _KEPT * config.offspring])
    ]
    return Plan(tuple(proposals), fitted and usable, accuracy, time.perf_counter() - start)


class _Pool(Generic[Candidate]):
    """Distinct candidates that were not tried before, each with the names of the operators that made it."""

    def __init__(self, space: Space[Candidate], past: Past[Candidate], pending: Sequence[Pending[Candidate]]) -> None:
        self._space = space
        self._seen = {*past.tried, *(each.candidate for each in pending)}
        self.candidates: list[Candidate] = []
        self.operators: list[str] = []

    def __len__(self) -> int:
        return len(self.candidates)

    def genes(self, start: int = 0) -> Genes:
        """Of all, or of those from a number on."""
        return self._space.genes(self.candidates[start:])

    def add(self, children: Genes, names: Sequence[str], size: int) -> None:
        """Add what is new of some children, until there are ``size`` candidates."""
        for child, name in zip(children, names, strict=True):
            candidate = self._space.candidate(child)
            if candidate not in self._seen and len(self.candidates) < size:
                self._seen.add(candidate)
                self.candidates.append(candidate)
                self.operators.append(name)

    def fill(self, parents: Genes, count: int, odds: Mapping[str, float] | None, rng: np.random.Generator) -> None:
        """Breed until there are so many more candidates, or the parents hardly have any new ones."""
        size = len(self) + count
        for _ in range(_ATTEMPTS):
            self.add(*self._space.breed(parents, count, odds, rng), size)
            if len(self) == size:
                break


class _Front(NamedTuple):
    """The front so far, with what is being evaluated as it is expected to turn out."""

    reward: NDArray[np.float64]
    cost: NDArray[np.float64]
    reference: Reference

    @classmethod
    def of(
        cls,
        past: Past[Candidate],
        pending: Sequence[Pending[Candidate]],
        space: Space[Candidate],
        predict: Predict,
        reference: Reference,
    ) -> _Front:
        front = past.front()
        reward, cost = past.reward[front], past.cost[front]
        if pending:
            expected = predict(space.genes([each.candidate for each in pending]))
            reward = np.append(reward, [each.reward for each in pending])
            cost = np.append(cost, expected.median_cost)
        return cls(reward, cost, reference)

    def choose(self, expected: Expected, count: int) -> NDArray[np.intp]:
        """So many of the candidates, the best first."""
        return choose_batch(expected.reward, expected.cost, *self, count, expected.feasible)
