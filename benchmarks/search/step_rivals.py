"""Searches that compute or reuse all slots of a step together, over all numbers of computed steps.

They are told the floor: once a number of steps turns out to be below it, smaller ones are not tried.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from benchmarks.search.objective import Mask, Objective
from benchmarks.search.whole_steps import distances, shortest_paths, step_schedule
from ecad_automl.schedules.layout import Layout

__all__ = ["budcache", "dpcache", "spread_order"]

#: Settings of BudCache's released search for FLUX: images, temperatures (of the mean square error of latents of about
#: unit variance), sweeps of hill climbing, and how far a computed step is moved at once.
_IMAGES = 1
_HOT, _COLD = 0.05, 1e-5
_SWEEPS = 20
_NEAR = 3
_FAR_MOVES = 2
#: It anneals for 200 moves and then climbs; here the first round only anneals, for fewer, and each later one has twice
#: as many.
_FIRST_MOVES = 25


def dpcache(objective: Objective, layout: Layout, steps: int, seed: int) -> None:  # noqa: ARG001 - nothing is drawn
    """For each number of computed steps the path of least error over an uncached run, as in DPCache.

    It ends when all are evaluated, be its budget spent or not.
    """
    paths = shortest_paths(distances(objective.output_products()))
    floor, least = objective.floor(), 0
    for count in spread_order(1, steps):
        if count > least:
            reward, _ = objective(step_schedule(layout, steps, paths[count - 1]))
            least = max(least, count if reward < floor else 0)


def budcache(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """For each number of computed steps a search by simulated annealing and hill climbing, as in BudCache.

    It minimizes the latent error of an image; the best mask of each number is then evaluated. Numbers take turns, in
    rounds of growing length, so that a front grows with the budget. It ends when a round finds nothing to try.
    """
    rng = np.random.default_rng(seed)
    floor, least = objective.floor(), 0
    objective(step_schedule(layout, steps, tuple(range(steps))))  # nothing to choose
    searches = [_MaskSearch(objective, layout, steps, count, rng) for count in spread_order(1, steps)[2:]]
    evaluated: set[Mask] = set()
    moves, sweeps, tried = _FIRST_MOVES, 0, -1
    while (known := sum(len(search.errors) for search in searches)) > tried:
        tried = known
        for search in searches:
            if search.count <= least:
                continue
            best = search.improve(moves, sweeps)
            if best not in evaluated:
                evaluated.add(best)
                reward, _ = objective(step_schedule(layout, steps, best))
                least = max(least, search.count if reward < floor else 0)
        moves, sweeps = 2 * moves, _SWEEPS


@dataclass
class _MaskSearch:
    """The mask of least latent error for one number of computed steps.

    Args:
        objective: measures.
        layout: the slots.
        steps: of a run.
        count: how many are computed.
        rng: of all choices.
    """

    objective: Objective
    layout: Layout
    steps: int
    count: int
    rng: np.random.Generator
    errors: dict[Mask, float] = field(default_factory=dict)

    def improve(self, moves: int, sweeps: int) -> Mask:
        """Anneal for some moves from the best mask so far, a drawn one at first; climb from there; give the best."""
        current = min(self.errors, key=self._error, default=None) or self._drawn()
        for move in range(moves):
            temperature = _HOT * (_COLD / _HOT) ** (move / moves)
            other = self._moved(current)
            worse = self._error(other) - self._error(current)
            if worse < 0 or self.rng.random() < math.exp(-worse / temperature):
                current = other
        for _ in range(sweeps):
            best = min(self._neighbors(current), key=self._error, default=current)
            if self._error(best) >= self._error(current):
                break
            current = best
        return min(self.errors, key=self._error)

    def _error(self, mask: Mask) -> float:
        if mask not in self.errors:
            self.errors[mask] = self.objective.latent_error(step_schedule(self.layout, self.steps, mask), _IMAGES)
        return self.errors[mask]

    @property
    def _fixed(self) -> int:
        """The first quarter of the computed steps are the first of the run, as in the released search."""
        return max(1, self.count // 4)

    def _drawn(self) -> Mask:
        free = self.rng.choice(np.arange(self._fixed, self.steps), self.count - self._fixed, replace=False)
        return (*range(self._fixed), *sorted(int(step) for step in free))

    def _moved(self, mask: Mask) -> Mask:
        """One computed step goes elsewhere, mostly near; now and then two go anywhere."""
        computed = mask[self._fixed :]
        reused = [step for step in range(self._fixed, self.steps) if step not in mask]
        if not computed or not reused:
            return mask
        if self.rng.random() >= 0.9 and min(len(computed), len(reused)) > 1:
            left = [computed[i] for i in self.rng.choice(len(computed), 2, replace=False)]
            taken = [reused[i] for i in self.rng.choice(len(reused), 2, replace=False)]
        else:
            left = [computed[self.rng.integers(len(computed))]]
            near = [step for step in reused if abs(step - left[0]) <= _NEAR]
            targets = near if near and self.rng.random() < 0.7 else reused
            taken = [targets[self.rng.integers(len(targets))]]
        return tuple(sorted({*mask, *taken} - {*left}))

    def _neighbors(self, mask: Mask) -> list[Mask]:
        """Every free computed step moved to every reused one near it, and to a few drawn ones."""
        found = []
        reused = [step for step in range(self._fixed, self.steps) if step not in mask]
        for left in mask[self._fixed :] if reused else ():
            near = [step for step in reused if abs(step - left) <= _NEAR]
            far = [reused[i] for i in self.rng.integers(len(reused), size=_FAR_MOVES)]
            found += [tuple(sorted({*mask, taken} - {left})) for taken in (*near, *far)]
        return list(dict.fromkeys(found))


def spread_order(first: int, last: int) -> list[int]:
    """All numbers of a range, the ends first and then always the middle of a gap, so that any beginning covers it."""
    if last < first:
        return []
    order = [first] if first == last else [first, last]
    gaps = deque([(first, last)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order
