"""The trend of the surrogate: drop of reward as a curve of one weighted sum of drift, with learned weights.

A schedule's outputs in use differ from fresh ones by their drift. If these errors add up, some steps and some parts of
the transformer count for more than others, and the reward drops with the sum along a smooth curve. That is a
few dozen parameters with a prior each, so it can be fitted when there are too few evaluations for trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StudyError
from surrogate.features import Bits, FeatureContext, group_drift

Floats = NDArray[np.float64]

#: Typical error of a predicted log drop.
_ERROR = 0.5
#: How strongly logarithms of weights are drawn to 0 (equal weights), and those of neighboring steps to each other.
_STEP_PRIOR, _SMOOTH_PRIOR, _GROUP_PRIOR = 1.0, 1.5, 1.0
#: Prior of the curve: a power of about 1, and an error that is not noticed of about ``exp(-5)`` of the largest sum.
_POWER_PRIOR, _FLOOR_PRIOR, _FLOOR = 1.0, 0.3, -5.0
_ITERATIONS = 50
#: Relative gain in squares at which the fit ends.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class DriftTrend:
    """``log drop = level + power * log(sum + floor)``, the sum over weighted drift.

    Args:
        step_weights: ``(steps,)`` positive.
        group_weights: ``(groups,)`` positive.
        level: see the formula.
        power: see the formula, positive.
        floor: an error that is there without drift, positive.
    """

    step_weights: Floats
    group_weights: Floats
    level: float
    power: float
    floor: float

    def predict(self, drift: Floats) -> Floats:
        """``(n,)`` log drops for ``(n, steps, groups)`` drift."""
        total = np.einsum("ntg,t,g->n", drift, self.step_weights, self.group_weights)
        log_drop: Floats = self.level + self.power * np.log(total + self.floor)
        return log_drop


def fit_drift_trend(
    drift: Floats,
    log_drop: Floats,
    weights: Floats | None = None,
    center: DriftTrend | None = None,
    start: DriftTrend | None = None,
) -> DriftTrend:
    """Fit by least squares; priors keep the weights even where the data say nothing.

    Args:
        drift: ``(n, steps, groups)``, not negative: drift of the outputs in use, summed over the slots of each group.
        log_drop: ``(n,)``, see :class:`~surrogate.LogDrop`.
        weights: ``(n,)`` positive: how much each schedule counts; 1 for all if None.
        center: a trend of the same steps and groups to which the priors draw, in place of equal weights. Its level,
            which differs from study to study, does not count.
        start: a trend near the one looked for, such as that of most of the same schedules: there the fit begins.
    """
    from scipy.optimize import least_squares

    _, steps, groups = drift.shape
    largest = float(drift.sum(axis=(1, 2)).max()) or 1.0
    relative = drift / largest
    certainty = np.sqrt(np.ones(len(drift)) if weights is None else weights) / _ERROR
    neighbors = np.diff(np.eye(steps), axis=0)
    # Parameters: log step weights, log group weights, level, log power, log floor.
    priors = np.zeros((2 * steps - 1 + groups + 2, steps + groups + 3))
    priors[:steps, :steps] = _STEP_PRIOR * np.eye(steps)
    priors[steps : 2 * steps - 1, :steps] = _SMOOTH_PRIOR * neighbors
    priors[2 * steps - 1 : -2, steps : steps + groups] = _GROUP_PRIOR * np.eye(groups)
    priors[-2, -2], priors[-1, -1] = _POWER_PRIOR, _FLOOR_PRIOR
    neutral = np.concatenate([np.zeros(steps + groups), [log_drop.max(), 0.0, _FLOOR]])
    centers = neutral if center is None else _parameters(center, largest, log_drop.max())
    first = centers if start is None else _parameters(start, largest, start.level)

    def terms(p: Floats) -> tuple[Floats, Floats, float]:
        """Drift by weighted groups ``(n, steps)``, its sum with the weights of steps and the floor, and the power."""
        by_step = (relative @ np.exp(p[steps : steps + groups])) * np.exp(p[:steps])
        return by_step, by_step.sum(axis=1) + np.exp(p[-1]), float(np.exp(p[-2]))

    def residuals(p: Floats) -> Floats:
        _, total, power = terms(p)
        return np.concatenate([(p[-3] + power * np.log(total) - log_drop) * certainty, priors @ (p - centers)])

    def jacobian(p: Floats) -> Floats:
        by_step, total, power = terms(p)
        slope = (power / total)[:, None]
        columns = [
            slope * by_step,
            slope * (np.exp(p[:steps]) @ relative) * np.exp(p[steps : steps + groups]),
            np.ones_like(slope),
            power * np.log(total)[:, None],
            slope * np.exp(p[-1]),
        ]
        return np.concatenate([np.concatenate(columns, axis=1) * certainty[:, None], priors])

    p = least_squares(residuals, first, jac=jacobian, ftol=_TOLERANCE, max_nfev=_ITERATIONS).x
    return DriftTrend(
        step_weights=np.exp(p[:steps]) / largest,
        group_weights=np.exp(p[steps : steps + groups]),
        level=float(p[-3]),
        power=float(np.exp(p[-2])),
        floor=float(np.exp(p[-1])),
    )


def _parameters(model: DriftTrend, largest: float, level: float) -> Floats:
    """What the fit has for a model where the largest total drift is ``largest``, with another level."""
    by_step, by_group = np.log(model.step_weights * largest), np.log(model.group_weights)
    return np.concatenate([by_step, by_group, [level, np.log(model.power), np.log(model.floor)]])


@dataclass(frozen=True, eq=False)
class Prior:
    """Evaluations of another study.

    A trend fitted to them is what the weights of the new trend are drawn to, instead of to equal ones, so it gives way
    as own evaluations come. Evaluations of both studies in one fit, the old ones at a lower weight, would rank as well,
    but rewards of two studies do not fall to the same depths, and predictions would miss by more.

    Args:
        genes: ``(n, steps, columns)``, see :func:`~surrogate.features.features_and_drift`, moved to the layout and step
            count of the new study.
        log_drop: ``(n,)``, each on the scale of its own study, see :class:`~surrogate.LogDrop`.

    Raises:
        StudyError: lengths differ, or values are not finite.
    """

    genes: Bits
    log_drop: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.genes.ndim != 3 or self.log_drop.shape != self.genes.shape[:1]:
            raise StudyError(
                f"A prior has schedules of the shape {self.genes.shape} and log drops of {self.log_drop.shape}; "
                "(n, steps, columns) and (n,) are needed."
            )
        if not np.isfinite(self.log_drop).all():
            raise StudyError("A prior has log drops that are not finite; leave failed evaluations out.")

    def trend(self, context: FeatureContext) -> DriftTrend | None:
        """The trend of the other study's evaluations by the drift of the new one's transformer; None without any.

        Raises:
            ScheduleError: the schedules do not fit the context.
        """
        return fit_drift_trend(group_drift(self.genes, context), self.log_drop) if len(self.genes) else None
