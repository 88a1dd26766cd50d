"""What is expected to come of guidance by the difference of both branches at an earlier step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.forecast import DAMPING, Forecasts, damped, gram_of

Floats = NDArray[np.float64]


class GuidanceErrors(NamedTuple):
    """By what is done in a step that computes one branch alone: the difference kept at each level of damping, or none.

    Each is ``(levels + 1, steps, steps, steps)``: at step ``t`` with the last two differences of ``s1 > s0``, at
    ``[:, t, s1, s0]``; from ``s1`` alone where the steps are in another order. They are measured as the distance of the
    transformer's output in a drift.

    Args:
        error: of the guided output, along the uncached run.
        carried: what becomes of errors in the differences for each unit of their mean square over that of the
            differences, beside reuse, which hands them on as they are.
    """

    error: Floats
    carried: Floats


def guidance_errors(forecasts: Forecasts, scale: float) -> GuidanceErrors | None:
    """Errors of guidance from the drift of an uncached run.

    The guided output is the conditional one and ``scale - 1`` differences, so it is off by as many errors of them.

    Args:
        forecasts: of the run.
        scale: of guidance.

    Returns:
        The errors; None where the drift does not tell of two branches.
    """
    drift, weights = forecasts.drift, forecasts.guidance_weights
    if weights is None or drift.guidance is None or drift.guidance_magnitude is None or drift.output_magnitude is None:
        return None
    # The conditional output is about as large as the output of both branches.
    whole = np.square(drift.output_magnitude, dtype=np.float64)
    power = ((scale - 1.0) * drift.guidance_magnitude.astype(np.float64)) ** 2
    gram = gram_of(power, drift.guidance.astype(np.float64))
    shape = (len(DAMPING) + 1, *weights.shape[:-1])
    error, carried = np.zeros(shape), np.zeros(shape)
    own, first, second = power[:, None, None], power[None, :, None], power[None, None, :]
    to1, to0 = gram[:, :, None], gram[:, None, :]
    for level in range(len(DAMPING)):
        w1, w0 = np.moveaxis(damped(weights, level).astype(np.float64), -1, 0)
        off = own + w1**2 * first + w0**2 * second - 2 * w1 * to1 - 2 * w0 * to0 + 2 * w1 * w0 * gram
        error[level] = np.maximum(off, 0.0)
        carried[level] = (w1 - 1.0) ** 2 * first + w0**2 * second
    error[-1] = own
    at_step = np.where(whole > 0, whole, np.inf)[:, None, None]
    return GuidanceErrors(error / at_step, carried / at_step)
