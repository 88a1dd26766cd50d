"""Schedules that are optimal for the drift of the slots: a first front for which no image is generated.

The *drift* of a slot says how far its output at one step is from its output at another, in an uncached run. If the
error of a reused output is its drift from the fresh one, and errors add, then at a price per MAC the best compute steps
of a slot are a shortest path over the steps, whatever the other slots do.

That errors add is an approximation. A slot that only another slot of its block reads (``proj_mlp`` of a FLUX single
block) makes no error while its reader is reused. And a slot that is recomputed from stale inputs gives a stale output,
so slots are worth more when they are recomputed together: on the bundled model, schedules whose slots all share their
compute steps are the best seeds, though they are the worst by the sum of errors. So slots can be tied in groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: MACs of the most expensive seed, as a share of those of the slots in an uncached run.
MOST = 0.95
#: Of a range of prices of about ten powers of ten: they end within a ten-thousandth of each other.
_BISECTIONS = 20


def reuse_error(drift: Floats) -> Floats:
    """Error of each slot between one computation and the next.

    Args:
        drift: ``(slots, steps, steps)``: ``drift[s, n, m]`` is the distance of the output at step ``m`` from the one
            at step ``n``.

    Returns:
        ``(slots, steps, steps + 1)``: ``[s, m, n]`` is the drift, summed over the steps ``m`` to ``n - 1``, of the
        output computed at step ``m``; infinite where ``n <= m``.
    """
    slots, steps, _ = drift.shape
    used = np.tril(np.ones((steps, steps), dtype=np.bool_), -1)
    at_step = np.where(used, drift, 0.0).transpose(0, 2, 1)
    error = np.concatenate([np.zeros((slots, steps, 1)), np.cumsum(at_step, axis=2)], axis=2)
    return np.where(np.arange(steps + 1)[None, :] > np.arange(steps)[:, None], error, np.inf)


def cheapest_paths(error: Floats, prices: Floats) -> Bits:
    """The compute steps of least error plus price, exactly, by dynamic programming over the steps.

    Args:
        error: ``(slots, steps, steps + 1)``, see :func:`reuse_error`.
        prices: ``(n, slots)``: price of one computation of each slot, not negative; ``n`` problems at once.

    Returns:
        ``(n, steps, slots)`` bool; the first step is always computed. Of equal paths the one that computes later, and
        so less often, is taken.
    """
    slots, steps, _ = error.shape
    count = len(prices)
    # best[..., n] is the least cost of all that happens before step n, given that n is computed (or is the end).
    best = np.zeros((count, slots, steps + 1))
    came_from = np.zeros((count, slots, steps + 1), dtype=np.intp)
    for end in range(1, steps + 1):
        costs = best[:, :, :end] + error[None, :, :end, end]
        came_from[:, :, end] = costs.argmin(axis=2)
        best[:, :, end] = costs.min(axis=2) + prices
    compute = np.zeros((count, slots, steps), dtype=np.bool_)
    at = np.full((count, slots), steps)
    rows, columns = np.ogrid[:count, :slots]
    while (at > 0).any():
        at = came_from[rows, columns, at]
        compute[rows, columns, at] = True
    return compute.transpose(0, 2, 1)


def drift_optimal_seeds(
    drift: Floats,
    slot_macs: ArrayLike,
    count: int,
    groups: ArrayLike | None = None,
) -> Bits:
    """Schedules of least total drift at their MACs, from nearly all-compute down to the first step only.

    Args:
        drift: ``(slots, steps, steps)``, not negative, see :func:`reuse_error`. To count drift in absolute terms,
            multiply it by the mean square of the outputs.
        slot_macs: ``(slots,)``: MACs of one computation of each slot.
        count: how many schedules are wanted, evenly spread in the logarithm of their MACs.
        groups: ``(slots,)`` integers: slots of one group share their compute steps; None ties no slots.

    Returns:
        ``(k, steps, slots)`` bool, of descending MACs, all distinct; ``k`` is ``count`` unless there are not that many
        optimal schedules.
    """
    slots, steps, _ = drift.shape
    macs = np.asarray(slot_macs, dtype=np.float64)
    if not macs.any():
        macs = np.ones(slots)
    error = reuse_error(np.asarray(drift, dtype=np.float64))
    _, group = np.unique(np.arange(slots) if groups is None else np.asarray(groups), return_inverse=True)
    together = np.stack([error[group == index].sum(axis=0) for index in range(group.max() + 1)])
    targets = np.geomspace(max(MOST, 1 / steps), 1 / steps, count) * macs.sum() * steps
    group_macs = np.bincount(group, weights=macs).astype(np.float64)
    return _distinct(_at_budgets(together, group_macs, targets)[:, :, group])


def step_paths(error: Floats) -> Bits:
    """For each number of computed steps those of least error, exactly, by dynamic programming (as in DPCache).

    Prices find only what lies on the convex hull of error over steps; these are all.

    Args:
        error: ``(steps, steps)``, not negative: of using, at the first step, the output of the second.

    Returns:
        ``(steps, steps)`` bool: the best choice of 1 computed step, of 2 and so on to all; the first step is always
        computed.
    """
    steps = len(error)
    spans = reuse_error(error[None])[0]
    # least[n]: of all choices of so many computed steps before step n, with n computed or the end.
    least = np.full(steps + 1, np.inf)
    least[0] = 0.0
    came_from = []
    chosen = np.zeros((steps, steps), dtype=np.bool_)
    for count in range(steps):
        through = least[:steps, None] + spans
        came_from.append(through.argmin(axis=0))
        least = through.min(axis=0)
        at = steps
        for origin in reversed(came_from):
            at = int(origin[at])
            chosen[count, at] = True
    return chosen


def mixed_drift_seeds(drift: Floats, slot_macs: ArrayLike, component_index: ArrayLike, count: int) -> Bits:
    """Drift-optimal schedules of three kinds: of common compute steps, of steps common by component, and of free ones.

    Args:
        drift: ``(slots, steps, steps)``, see :func:`drift_optimal_seeds`.
        slot_macs: ``(slots,)``: MACs of one computation of each slot.
        component_index: ``(slots,)``: the component of each slot.
        count: how many schedules are wanted; about four of seven are of the first kind, two of the second.

    Returns:
        ``(k, steps, slots)`` bool, distinct; ``k`` is ``count``, or less where kinds coincide.
    """
    shared = drift_optimal_seeds(drift, slot_macs, -(-count * 4 // 7), np.zeros(len(drift), dtype=np.intp))
    by_component = drift_optimal_seeds(drift, slot_macs, -(-count * 2 // 7) + 1, component_index)
    missing = count - len(shared) - (len(by_component) - 1)
    free = drift_optimal_seeds(drift, slot_macs, max(0, missing) + 1)
    # The last and cheapest schedule of each kind is the same one.
    return _distinct(np.concatenate([shared, by_component[:-1], free[:-1]])[:count])


def _distinct(seeds: Bits) -> Bits:
    _, first = np.unique(seeds.reshape(len(seeds), -1), axis=0, return_index=True)
    return seeds[np.sort(first)]


def _at_budgets(error: Floats, macs: Floats, targets: Floats) -> Bits:
    """``(n, steps, slots)``: optimal schedules near each of ``(n,)`` target MACs, by bisection on the price."""

    def paths(log_price: Floats) -> Bits:
        """For ``(n,)`` prices: ``(n, steps, slots)``."""
        return cheapest_paths(error, np.exp(log_price)[:, None] * macs)

    # Below the low price every error is worth avoiding; above the high price none is.
    least, most = _error_bounds(error)
    low = np.full(len(targets), np.log(least * 1e-3 / macs.sum()))
    high = np.full(len(targets), np.log(most * 1e3 / macs[macs > 0].min()))
    dear, cheap = paths(low), paths(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        compute = paths(middle)
        above = compute.sum(axis=1) @ macs > targets
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        dear = np.where(above[:, None, None], compute, dear)
        cheap = np.where(above[:, None, None], cheap, compute)
    # The two solutions on either side of the price cost the same at it, slot by slot, so any mix is optimal too.
    added = np.cumsum((dear.sum(axis=1) - cheap.sum(axis=1)) * macs, axis=1)
    reached = np.concatenate([np.zeros((len(added), 1)), added], axis=1) + (cheap.sum(axis=1) @ macs)[:, None]
    taken = np.abs(reached - targets[:, None]).argmin(axis=1)
    mixed: Bits = np.where(np.arange(len(macs)) < taken[:, None, None], dear, cheap)
    return mixed


def _error_bounds(error: Floats) -> tuple[float, float]:
    """The least and the greatest positive error; 1 where there is none."""
    positive = error[np.isfinite(error) & (error > 0)]
    return (float(positive.min()), float(positive.max())) if positive.size else (1.0, 1.0)
