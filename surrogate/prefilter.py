"""Which candidates of a pool to evaluate: those that promise the largest gain of hypervolume."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surrogate.hypervolume import Floats, Reference, Staircase, staircase

__all__ = ["choose_batch", "expected_hypervolume_gain", "expected_improvement"]


def expected_improvement(mean: Floats, std: Floats, level: Floats) -> Floats:
    """Mean of ``max(0, R - level)`` for a Gaussian ``R``.

    With ``z = (mean - level) / std`` this is ``(mean - level) * Phi(z) + std * phi(z)``, where ``Phi`` and ``phi`` are
    the distribution and the density of the standard normal (Jones, Schonlau and Welch 1998, equation 15). A standard
    deviation of 0 means certainty.

    Args:
        mean: any shape.
        std: broadcastable to it, not negative.
        level: broadcastable to it.

    Returns:
        Of the broadcast shape, not negative.
    """
    from scipy.special import ndtr

    above = mean - level
    z = above / np.maximum(std, np.finfo(np.float64).tiny ** 0.5)
    density = np.exp(-0.5 * np.minimum(np.abs(z), 40.0) ** 2) / np.sqrt(2 * np.pi)
    improvement: Floats = np.maximum(above * ndtr(z) + std * density, 0.0)
    return improvement


def expected_hypervolume_gain(mean: ArrayLike, std: ArrayLike, cost: ArrayLike, front: Staircase) -> Floats:
    """Expected area that each candidate, alone, adds to a front; exact for a known cost and a Gaussian reward.

    The gain of a candidate of reward ``R`` and cost ``c`` is the integral of ``max(0, R - front(x))`` over the costs
    ``x`` from ``c`` to the reference. The front is a step function, so the gain is piecewise linear in ``R``, and its
    expectation is the sum over steps of (width of the step above ``c``) * :func:`expected_improvement` over its level.

    Args:
        mean: ``(n,)`` predicted rewards.
        std: ``(n,)`` their standard deviations, not negative.
        cost: ``(n,)`` exact costs.
        front: what is known already.

    Returns:
        ``(n,)``, not negative.
    """
    means, stds = np.asarray(mean, dtype=np.float64)[:, None], np.asarray(std, dtype=np.float64)[:, None]
    gain: Floats = (front.widths(cost) * expected_improvement(means, stds, front.levels)).sum(axis=1)
    return gain


def choose_batch(
    mean: ArrayLike,
    std: ArrayLike,
    cost: ArrayLike,
    front_reward: ArrayLike,
    front_cost: ArrayLike,
    reference: Reference,
    count: int,
    exploration: float = 1.0,
    optimism: float = 1.0,
) -> NDArray[np.intp]:
    r"""Candidates of the largest expected hypervolume gain, picked one after another.

    Each pick joins the front with its predicted mean ("kriging believer", Ginsbourger, Le Riche and Carraro 2010), so
    that the next one looks elsewhere along the cost axis. Where no gain is left to expect, the candidates whose means
    come closest to the front follow.
    """
    means, stds, costs = (np.asarray(values, dtype=np.float64) for values in (mean, std, cost))
    stds = exploration * stds
    rewards, known = list(np.ravel(front_reward)), list(np.ravel(front_cost))
    free = np.ones(len(means), dtype=np.bool_)
    picks: list[int] = []
    for _ in range(min(count, len(means))):
        front = staircase(rewards, known, reference)
        gain = expected_hypervolume_gain(means, stds, costs, front)
        if gain[free].max() <= 0.0:
            gain = means - front.level_at(costs)
        pick = int(np.argmax(np.where(free, gain, -np.inf)))
        free[pick] = False
        picks.append(pick)
        rewards.append(means[pick] + optimism * stds[pick])
        known.append(costs[pick])
    return np.array(picks, dtype=np.intp)
