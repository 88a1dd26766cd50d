"""DPCache: which steps to compute, by dynamic programming, and the outputs of the others predicted.

As published (Cui et al. 2026, arXiv 2602.22654): the error of skipping the steps between two computed ones depends on
the computed step before them, since the predictor extrapolates from both; a tensor of these errors over an uncached
run, and the path of least error for each number of computed steps. The predictor is Taylor's of first order in the
step number, on the output of the transformer. With plain reuse errors depend on one computed step, and the output of
every slot is reused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from studies.drift_seeds import step_paths

__all__ = [
    "computing_only",
    "distances",
    "path_errors",
    "predicted_paths",
    "shortest_paths",
    "step_schedule",
]

Floats = NDArray[np.float64]


def path_errors(products: Floats) -> Floats:
    """Summed errors of predicting the steps between two computed ones.

    Args:
        products: ``(steps, steps)``: mean products of the transformer's outputs at two steps.

    Returns:
        ``(steps, steps, steps + 1)``: for computed steps ``i < j < k``, mean squares summed over the steps between j
        and k; k is the number of steps for the end of the run. ``i == j`` means that j is the first, whose output is
        used as it is. Infinite where the order is another.
    """
    steps = len(products)
    errors = np.full((steps, steps, steps + 1), np.inf)
    for last in range(steps):
        for before in range(last + 1):
            if before == last > 0:
                continue  # only the first step has none before it
            total = 0.0
            errors[before, last, last + 1] = 0.0
            for step in range(last + 1, steps):
                ahead = 0.0 if before == last else (step - last) / (last - before)
                weights = np.zeros(steps)
                weights[step] = 1.0
                weights[last] -= 1 + ahead
                weights[before] += ahead
                total += float(weights @ products @ weights)
                errors[before, last, step + 1] = total
    return errors


def predicted_paths(products: Floats) -> list[tuple[int, ...]]:
    """The computed steps of least summed error, for 1 computed step, for 2 and so on to all.

    Args:
        products: see :func:`path_errors`.

    Returns:
        Ascending steps; the first is always 0.
    """
    steps = len(products)
    errors = path_errors(products)
    # Least error so far, with the last two computed steps as state, and from which step that came.
    reached = np.full((steps, steps), np.inf)
    reached[0, 0] = 0.0
    came_from: list[NDArray[np.intp]] = []
    paths = []
    for count in range(1, steps + 1):
        ended = reached + errors[:, :, steps]
        before, last = np.unravel_index(int(np.argmin(ended)), ended.shape)
        paths.append(_traced(int(before), int(last), came_from, count))
        # (i, j) -> (j, k)
        onward = reached[:, :, None] + errors[:, :, :steps]
        came_from.append(np.argmin(onward, axis=0))
        reached = onward.min(axis=0)
    return paths


def _traced(before: int, last: int, came_from: Sequence[NDArray[np.intp]], count: int) -> tuple[int, ...]:
    path = [last]
    for table in reversed(came_from[: count - 1]):
        path.append(before)
        before, last = int(table[before, last]), before
    return tuple(reversed(path[:count]))


def distances(products: Floats) -> Floats:
    """Mean squares of the differences between outputs whose mean products are given, both ``(steps, steps)``."""
    power = np.diagonal(products)
    found: Floats = np.maximum(power[:, None] + power[None, :] - 2 * products, 0.0)
    return found


def shortest_paths(distance: Floats) -> list[tuple[int, ...]]:
    """Computed steps of least summed distance between outputs that are used and those that would be fresh.

    Args:
        distance: ``(steps, steps)``, symmetric: between the outputs at two steps.

    Returns:
        The best mask of 1 computed step, of 2 and so on to all.
    """
    return [tuple(int(step) for step in np.flatnonzero(chosen)) for chosen in step_paths(distance)]


def step_schedule(layout: Layout, steps: int, mask: Sequence[int]) -> Schedule:
    """The schedule that computes everything in some steps and nothing in the others."""
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    compute[list(mask)] = True
    return Schedule(layout, compute)


@contextmanager
def computing_only(pipe: Any, computed: Sequence[int], *, steps: int, calls: int = 1) -> Iterator[None]:
    """Run a pipeline so that its transformer computes only some steps, and its other outputs are predicted.

    Args:
        pipe: a diffusers pipeline that calls ``pipe.transformer`` equally often in each step and takes a tuple.
        computed: ascending steps; the first is 0.
        steps: of a run.
        calls: of the transformer in each step, one for each branch of guidance.
    """
    transformer, wanted = pipe.transformer, set(computed)
    forward, number = transformer.forward, 0
    kept: list[list[tuple[int, Any]]] = [[] for _ in range(calls)]  # of each call: steps and outputs, the last two

    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal number
        step, branch = number // calls % steps, kept[number % calls]
        number += 1
        if step in wanted:
            output = forward(*args, **kwargs)
            if step == 0:
                branch.clear()
            branch[:] = [*branch[-1:], (step, output[0])]
            return output
        last, value = branch[-1]
        if len(branch) > 1:
            before, earlier = branch[0]
            value = value + (value - earlier) * ((step - last) / (last - before))
        return (value,)

    transformer.forward = called
    try:
        yield
    finally:
        del transformer.forward
