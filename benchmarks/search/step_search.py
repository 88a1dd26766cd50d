"""Local search by reward over which steps are computed, from DPCache's choices: the simplest that could do the job."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.search.objective import Mask, Objective
from benchmarks.search.step_rivals import spread_order
from benchmarks.search.whole_steps import distances, predicted_paths, shortest_paths, step_schedule
from ecad_automl.schedules.layout import Layout

__all__ = ["step_search"]

#: How far a computed step is moved at once.
_NEAR = 3
_MOST_FAILURES = 1000


@dataclass(frozen=True)
class _Choice:
    mask: Mask
    predicted: bool  # the output of the other steps is extrapolated, as DPCache does, or reused


def step_search(objective: Objective, layout: Layout, steps: int, seed: int) -> None:
    """From DPCache's masks with its predictor and with reuse, whatever of them is not below the floor.

    Then always a neighbor of a choice that nothing found so far beats in both reward and cost: a computed step moved
    to one near, one more or one less, or the other way of filling the gaps.
    """
    rng = np.random.default_rng(seed)
    floor, products = objective.floor(), objective.output_products()
    paths = {True: predicted_paths(products), False: shortest_paths(distances(products))}
    found: dict[_Choice, tuple[float, float]] = {}

    def evaluate(choice: _Choice) -> float:
        if choice not in found:
            if choice.predicted:
                found[choice] = objective.predicted(choice.mask)
            else:
                found[choice] = objective(step_schedule(layout, steps, choice.mask))
        return found[choice][0]

    least = dict.fromkeys(paths, 0)
    for count in spread_order(2, steps):
        for predicted, of_count in paths.items():
            if count > least[predicted] and evaluate(_Choice(of_count[count - 1], predicted)) < floor:
                least[predicted] = count
    failures = 0
    while failures < _MOST_FAILURES:
        best = _front(found, floor)
        neighbor = _neighbor(best[rng.integers(len(best))], steps, rng)
        failures = 0 if neighbor not in found else failures + 1
        evaluate(neighbor)


def _front(found: dict[_Choice, tuple[float, float]], floor: float) -> list[_Choice]:
    """What nothing else beats, from cheap to dear."""
    best, front = floor, []
    for choice, (reward, _) in sorted(found.items(), key=lambda item: (item[1][1], -item[1][0])):
        if reward > best or not front:
            best = max(best, reward)
            front.append(choice)
    return front


def _neighbor(choice: _Choice, steps: int, rng: np.random.Generator) -> _Choice:
    computed = set(choice.mask)
    free = [step for step in range(1, steps) if step not in computed]
    movable = sorted(computed - {0})
    kind = rng.choice(["move", "move", "more", "less", "other"])
    if kind == "other":
        return _Choice(choice.mask, not choice.predicted)
    if kind in ("move", "less") and movable:
        left = movable[rng.integers(len(movable))]
        computed.discard(left)
        near = [step for step in free if abs(step - left) <= _NEAR] or free
        if kind == "move" and near:
            computed.add(near[rng.integers(len(near))])
    elif kind == "more" and free:
        computed.add(free[rng.integers(len(free))])
    return _Choice(tuple(sorted(computed)), choice.predicted)
