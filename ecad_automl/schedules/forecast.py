"""Forecasting outputs from the last two computed ones, with least-squares weights in closed form from the drift.

The output of step ``t`` is forecast as ``w1 x[s1] + w0 x[s0]``, where ``s1`` is the last step at which it was computed
and ``s0`` the one before. The drift holds ``E (x[m] - x[n])^2`` and ``P[m] = E x[m]^2`` of an uncached run, so
``G[m, n] = (P[m] + P[n] - E (x[m] - x[n])^2) / 2`` is the Gram matrix of a slot's outputs over steps, and for any
computed steps the weights of least expected error solve two linear equations; no image is needed.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.use_errors import UseErrors

if TYPE_CHECKING:
    from ecad_automl.schedules.drift import Drift

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Steps = NDArray[np.intp]

#: Shares of the way from reuse to the least-squares forecast, by level.
DAMPING = (0.0, 1 / 3, 2 / 3, 1.0)

#: Weights of plain reuse.
REUSE = np.array([1.0, 0.0], dtype=np.float32)
REUSE.setflags(write=False)

#: Of the mean square of the two outputs, added to both where weights are solved for: where the two are alike it draws
#: the weights towards plain reuse.
_RIDGE = 1e-4
#: Digits of a weight after the point, in memory as in files: schedules are then equal where their files are.
_DIGITS = 4


def forecast_sources(computed: Bits) -> Steps:
    """The two steps from whose outputs each step's would be forecast.

    Args:
        computed: ``(steps, ...)`` bool.

    Returns:
        ``(2, steps, ...)``: the last step before each one at which was computed, and the one before that; -1 where
        there is none.
    """
    steps = np.arange(len(computed)).reshape(-1, *[1] * (computed.ndim - 1))
    last = np.full(computed.shape, -1, dtype=np.intp)
    last[1:] = np.maximum.accumulate(np.where(computed, steps, -1), axis=0)[:-1]
    before = np.where(last < 0, -1, np.take_along_axis(last, np.maximum(last, 0), axis=0))
    return np.stack([last, before])


def staleness(compute: Bits) -> NDArray[np.intp]:
    """Age in steps of the output that each slot has at each step.

    Args:
        compute: ``(steps, slots)`` bool whose first row is all True.

    Returns:
        ``(steps, slots)`` integers: 0 where recomputed, 1 where the output is that of the step before, and so on.
    """
    steps = np.arange(len(compute))[:, None]
    last = np.maximum.accumulate(np.where(compute, steps, 0), axis=0)
    return steps - last


class Forecasts:
    """Weights and errors of all forecasts, for groups of slots and the transformer's output.

    Slots of a group share their weights, and each counts alike, whatever the size of its outputs.

    Args:
        drift: of an uncached run.
        groups: ``(slots,)`` integers from 0, as the layout's ``component_index``. The transformer's output is a further
            group, the last, and a further row after the slots. Where an older drift does not tell of it, it counts as
            the mean of the slots.
    """

    def __init__(self, drift: Drift, groups: ArrayLike) -> None:
        of_slots = np.asarray(groups, dtype=np.intp)
        self.group = np.append(of_slots, of_slots.max() + 1)
        distance, power = drift.distance.astype(np.float64), drift.magnitude.astype(np.float64) ** 2
        scale = power.mean(axis=1, keepdims=True)
        power = np.divide(power, scale, out=np.ones_like(power), where=scale > 0)
        output = distance.mean(axis=0) if drift.output is None else drift.output.astype(np.float64)
        size = (
            np.ones(drift.steps) if drift.output_magnitude is None else drift.output_magnitude.astype(np.float64) ** 2
        )
        self._drift = drift
        self._distance = np.concatenate([distance, output[None]])
        self._power = np.concatenate([power, size[None] / (size.mean() or 1.0)])

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return len(self._power[0])

    @cached_property
    def _gram(self) -> Floats:
        """``(rows, steps, steps)``: mean products of outputs at two steps."""
        return gram_of(self._power, self._distance)

    @cached_property
    def _group_gram(self) -> Floats:
        return np.stack([self._gram[self.group == group].mean(axis=0) for group in range(self.group.max() + 1)])

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """``(groups, steps, steps, steps, 2)``: of forecasting step ``t`` from ``s1 > s0``, at ``[:, t, s1, s0]``.

        ``w = e + (G_SS + r tr(G_SS)/2 I)^-1 (G_St - G_SS e)`` with the weights ``e`` of plain reuse and a small ridge
        ``r``. Those of plain reuse also where the steps are in another order.
        """
        return _least_squares(self._group_gram)

    def of_guidance(self, sources: Steps) -> NDArray[np.float32]:
        """Weights of the difference of both guidance branches at each step.

        Args:
            sources: ``(2, steps)``: the last two steps with a difference; -1 where there is none.

        Returns:
            ``(steps, 2)``: those of plain reuse where there are not two, or where the drift does not tell of it.
        """
        if self.guidance_weights is None:
            return np.tile(REUSE, (self.steps, 1))
        found = self.guidance_weights[np.arange(self.steps), sources[0], sources[1]]
        return np.where((sources[1] >= 0)[:, None], found, REUSE)

    @property
    def drift(self) -> Drift:
        """What they are of."""
        return self._drift

    @cached_property
    def guidance_weights(self) -> NDArray[np.float32] | None:
        """``(steps, steps, steps, 2)``: as :attr:`weights`, of the difference of both branches; None if unknown."""
        distance, size = self._drift.guidance, self._drift.guidance_magnitude
        if distance is None or size is None:
            return None
        power = size.astype(np.float64) ** 2
        power /= power.mean() or 1.0
        gram = gram_of(power, distance)
        found: NDArray[np.float32] = _least_squares(gram[None])[0]
        return found

    def expected_errors(self) -> UseErrors:
        """What uses are expected to do to the image, in proportion, at all levels of damping.

        As :meth:`~ecad_automl.schedules.drift.Drift.expected_error`, which it is for slots at level 0: over all slots
        the mean of forecasts is the error of the output's own. The output itself, which skipped steps use, counts by
        the whole of the scheduler's response, since no slot is computed that would mend something.

        Returns:
            Of ``(levels, slots + 1, steps, steps, steps)``: of step ``t`` from ``s1 > s0``, at ``[:, :, t, s1, s0]``;
            the transformer's output is the last row.
        """
        levels, rows = len(DAMPING), len(self._gram)
        found = UseErrors(levels, rows, self.steps)
        of_slots, of_output = (self._drift.step_weights(power).astype(np.float32) for power in (0.5, 1.0))
        for step in range(1, self.steps):
            errors = self._errors_at(step)
            slots, output = errors[:, :-1], errors[:, -1]
            if self._drift.output is not None:
                slots *= _ratio(output, slots.mean(axis=1))[:, None]
            slots *= of_slots[step]
            output *= of_output[step]
            found.fill(step, errors)
        return found

    def carried_noise(self) -> NDArray[np.float32]:
        """What uses make of errors in the outputs that they are from, beside reuse, which hands them on as they are.

        A share ``g`` of a forecast adds ``g^2 ((w1 - 1)^2 P[s1] + w0^2 P[s0])`` for each unit of the mean square of
        errors over that of the outputs, in the measure of :meth:`expected_errors`.

        Returns:
            ``(levels, groups, steps, steps, steps)``, see there; the transformer's output is the last group.
        """
        power = np.stack([self._power[self.group == group].mean(axis=0) for group in range(len(self.weights))])
        first, second = power[:, None, :, None], power[:, None, None, :]
        scale = _ratio(np.ones_like(self.weights[..., 0]), (power[:, :, None, None] + first) / 2)
        added = ((self.weights[..., 0] - 1.0) ** 2 * first + self.weights[..., 1] ** 2 * second) * scale
        added[:-1] *= self._drift.step_weights(0.5)[:, None, None]
        added[-1] *= self._drift.step_weights(1.0)[:, None, None]
        found: NDArray[np.float32] = (np.square(DAMPING)[:, None, None, None, None] * added).astype(np.float32)
        return found

    def step_weights(self, power: float) -> Floats:
        """Those of the drift, see :meth:`~ecad_automl.schedules.drift.Drift.step_weights`."""
        return self._drift.step_weights(power)

    def _errors_at(self, step: int) -> NDArray[np.float32]:
        """``(levels, rows, step, step)``: of uses at a step from earlier ones, measured as the drift's distance."""
        past = slice(0, step)
        gram, own = self._gram[:, past, past], self._power[:, step, None, None]
        first, second = self._power[:, past, None], self._power[:, None, past]
        to1, to0 = self._gram[:, step, past, None], self._gram[:, step, None, past]
        weights = self.weights[:, step, past, past].astype(np.float64)[self.group]
        # A use is off by x1 - x + g d, with d = (w1 - 1) x1 + w0 x0.
        w1, w0 = weights[..., 0] - 1.0, weights[..., 1]
        reuse = own + first - 2 * to1
        both = w1 * (first - to1) + w0 * (gram - to0)
        change = w1**2 * first + w0**2 * second + 2 * w1 * w0 * gram
        scale = _ratio(np.ones_like(reuse), (own + first) / 2)
        found = [np.maximum(reuse + share * (2 * both + share * change), 0.0) * scale for share in DAMPING]
        return np.stack(found, dtype=np.float32, casting="same_kind")

    def of_sources(self, sources: Steps) -> NDArray[np.float32]:
        """Weights of each row at each step.

        Args:
            sources: ``(2, ..., steps, rows)``, see :func:`forecast_sources`; the transformer's output is the last row.

        Returns:
            ``(..., steps, rows, 2)``: those of plain reuse where there are not two sources.
        """
        found = self.weights[self.group, np.arange(self.steps)[:, None], sources[0], sources[1]]
        return np.where((sources[1] >= 0)[..., None], found, REUSE)


def gram_of(power: Floats, distance: NDArray[Any]) -> Floats:
    """``(..., steps, steps)``: mean products of outputs at two steps.

    Args:
        power: ``(..., steps)``: their mean squares.
        distance: ``(..., steps, steps)``: see :class:`~ecad_automl.schedules.drift.Drift`.
    """
    gram: Floats = (power[..., :, None] + power[..., None, :]) * (1.0 - distance / 2) / 2
    return gram


def _least_squares(gram: Floats) -> NDArray[np.float32]:
    """``(n, steps, steps, steps, 2)`` weights of ``n`` Gram matrices, see :attr:`Forecasts.weights`."""
    steps = gram.shape[1]
    found = np.empty((*gram.shape, steps, 2), dtype=np.float32)
    found[...] = REUSE
    power = np.diagonal(gram, axis1=1, axis2=2)
    first, second = power[:, :, None], power[:, None, :]  # of s1 and of s0
    ridge = _RIDGE * (first + second) / 2
    determinant = (first + ridge) * (second + ridge) - gram**2
    ordered = np.tri(steps, k=-1, dtype=np.bool_) & (determinant > 0)
    for step in range(2, steps):
        missed1 = gram[:, step, :, None] - first  # G_St - G_SS e
        missed0 = gram[:, step, None, :] - gram
        w1 = 1.0 + _ratio((second + ridge) * missed1 - gram * missed0, determinant)
        w0 = _ratio((first + ridge) * missed0 - gram * missed1, determinant)
        usable = ordered & (np.arange(steps) < step)[:, None]
        found[:, step] = np.where(usable[..., None], np.stack([w1, w0], axis=-1).round(_DIGITS), REUSE)
    return found


def damped(weights: NDArray[np.float32], level: NDArray[np.uint8] | int) -> NDArray[np.float32]:
    """Weights ``(..., 2)`` at levels of damping ``(...)``: so far on the way from plain reuse to them."""
    share = np.array(DAMPING, dtype=np.float32)[level][..., None]
    result: NDArray[np.float32] = REUSE + share * (weights - REUSE)
    return result


def weights_at(weights: ArrayLike | Forecasts | None, sources: Steps) -> NDArray[np.float32]:
    """Weights of each row at each step as a schedule is given them, one for one or by what gives them.

    Args:
        weights: ``(steps, rows, 2)`` numbers, or what gives them.
        sources: ``(2, steps, rows)``, see :func:`forecast_sources`; the transformer's output is the last row.

    Returns:
        ``(steps, rows, 2)``.

    Raises:
        ScheduleError: there are none, or they are not finite or of another shape.
    """
    if weights is None:
        raise ScheduleError("A schedule that forecasts outputs needs the weights to do so; none were given.")
    steps, rows = sources.shape[1:]
    if isinstance(weights, Forecasts):
        if weights.steps != steps or len(weights.group) != rows:
            raise ScheduleError(
                f"The weights are for {len(weights.group) - 1} slots and {weights.steps} steps, but the schedule "
                f"has {rows - 1} and {steps}."
            )
        return weights.of_sources(sources)
    array = np.asarray(weights, dtype=np.float32)
    if array.shape != (steps, rows, 2) or not np.isfinite(array).all():
        raise ScheduleError(
            f"A schedule's weights have the shape {array.shape}, but finite numbers of the shape {(steps, rows, 2)} "
            "are needed."
        )
    return array


def shared_weights(
    forecast: Bits, group: Steps, sources: Steps, weights: NDArray[np.float32]
) -> tuple[Steps, NDArray[np.float32], tuple[int, int] | None]:
    """What is forecast, each group with the same sources at a step once.

    Args:
        forecast: ``(steps, rows)``: where anything is.
        group: ``(rows,)`` whole numbers.
        sources: ``(2, steps, rows)``.
        weights: ``(steps, rows, 2)``.

    Returns:
        ``(n, 4)`` step, group and the two sources; ``(n, 2)`` weights; and the first step and row whose weights are
        others than those of its group, None where there is none.
    """
    steps, rows = np.nonzero(forecast)
    keys = np.stack([steps, group[rows], *sources[:, steps, rows]], axis=1)
    table, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    given = weights[steps, rows]
    other = np.flatnonzero((given != given[first][inverse.ravel()]).any(axis=1))
    return table, given[first], (int(steps[other[0]]), int(rows[other[0]])) if len(other) else None


def _ratio(value: NDArray[Any], by: NDArray[Any]) -> NDArray[Any]:
    value, by = np.broadcast_arrays(value, by)
    found: NDArray[Any] = np.divide(value, by, out=np.zeros_like(value), where=by > 0)
    return found
