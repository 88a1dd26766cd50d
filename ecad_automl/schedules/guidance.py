"""What is done about classifier-free guidance in each step of a schedule.

A pipeline with guidance has its transformer compute two branches, one with the prompt (*conditional*) and one without
or with a negative one. In each step that is run a schedule computes *both*; or the conditional one alone, and *keeps*
the last difference of the two, or what is forecast of it: the other branch's output is then the conditional one's less
that; or it does without guidance, with *none* of a difference. Whatever the pipeline makes of the two outputs, it does
as always. What is cached of a slot is of both branches: where only the conditional one is computed, that of the other
stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.forecast import DAMPING, REUSE, damped, forecast_sources

if TYPE_CHECKING:
    from ecad_automl.schedules.forecast import Forecasts

Bits = NDArray[np.bool_]
Steps = NDArray[np.intp]

#: Actions: both branches; the conditional one and the last difference, or at one of the next values its forecast,
#: damped by the level that the value is above this; and the conditional one without guidance.
BOTH, KEEP = 0, 1
NONE = KEEP + len(DAMPING)


def effective_guidance(actions: NDArray[Any], skip: Bits) -> NDArray[np.uint8]:
    """What a run really does: where there is no difference yet, none can be kept, and both branches are computed.

    Args:
        actions: ``(..., steps)`` actions.
        skip: ``(..., steps)`` bool: where the transformer is not entered, and nothing is to be done about guidance.

    Returns:
        ``(..., steps)``.
    """
    found = np.where(skip, BOTH, actions).astype(np.uint8)
    needed = ~skip & (found != NONE)
    first = np.arange(found.shape[-1]) == needed.argmax(axis=-1)[..., None]
    found[first & needed] = BOTH
    # A forecast needs two differences.
    known = np.cumsum(~skip & (found == BOTH), axis=-1)
    found[(found > KEEP) & (found < NONE) & (known < 2)] = KEEP
    return found


class Guidance(NamedTuple):
    """What is done about guidance, in the form that :func:`effective_guidance` gives it.

    Args:
        actions: ``(steps,)``.
        both: ``(steps,)`` bool: where both branches are computed.
        alone: ``(steps,)`` bool: where the conditional branch is computed alone.
        sources: ``(2, steps)``: the last two steps before each one at which both were; -1 where there is none.
        weights: ``(steps, 2)``: undamped weights of forecasts of the difference; those of plain reuse elsewhere.
    """

    actions: NDArray[np.uint8]
    both: Bits
    alone: Bits
    sources: Steps
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, actions: ArrayLike | None, skip: Bits, weights: ArrayLike | Forecasts | None) -> Guidance:
        """The effect of actions.

        Args:
            actions: ``(steps,)``; both branches everywhere if None.
            skip: ``(steps,)`` bool.
            weights: ``(steps, 2)`` numbers, or what gives them; needed where a difference is forecast.

        Raises:
            ScheduleError: a shape does not fit the steps, values are not of their kind, or weights are missing.
        """
        given: NDArray[Any] = np.zeros(len(skip), dtype=np.uint8) if actions is None else np.asarray(actions)
        if given.shape != skip.shape or not np.isin(given, range(NONE + 1)).all():
            raise ScheduleError(
                f"A schedule's guidance has the shape {given.shape}, but whole numbers from 0 to {NONE} of the shape "
                f"{skip.shape} are needed."
            )
        found = effective_guidance(given, skip)
        both = ~skip & (found == BOTH)
        sources = forecast_sources(both)
        forecast = (found > KEEP) & (found < NONE)
        own = np.tile(REUSE, (len(skip), 1))
        if forecast.any():
            own[forecast] = _weights(weights, sources)[forecast]
        fields = (found, both, ~skip & ~both, sources, own)
        for array in fields:
            array.setflags(write=False)
        return cls(*fields)

    @property
    def is_full(self) -> bool:
        """Whether both branches are computed wherever the transformer is entered, as without a schedule."""
        return not self.alone.any()

    @property
    def kept(self) -> Bits:
        """``(steps,)`` bool: where a difference of before is used."""
        found: Bits = self.alone & (self.actions != NONE)
        return found

    @property
    def levels(self) -> NDArray[np.uint8]:
        """``(steps,)``: level of damping of the difference; 0 where it is not forecast."""
        return np.where(self.kept, self.actions - KEEP, 0).astype(np.uint8)

    @property
    def coefficients(self) -> NDArray[np.float32]:
        """``(steps, 2)``: by how much the last two differences count where they are kept."""
        return damped(self.weights, self.levels)

    @property
    def last_read(self) -> Steps:
        """``(steps,)``: the last step that reads the difference of each one; -1 for none."""
        found = read_by(self.kept[:, None], (self.levels > 0)[:, None], self.sources[:, :, None])
        return found[:, 0]

    @property
    def told(self) -> str:
        """What is done, in words."""
        kept, forecast = int(self.kept.sum()), int((self.levels > 0).sum())
        none = int(self.alone.sum()) - kept
        parts = [f"both guidance branches in {int(self.both.sum())} steps"]
        if kept:
            parts.append(f"the last difference kept in {kept}" + (f" ({forecast} by forecast)" if forecast else ""))
        if none:
            parts.append(f"no guidance in {none}")
        return ", ".join(parts)

    def begin(self) -> int:
        """The first step with both branches; -1 where there is none."""
        return int(self.both.argmax()) if self.both.any() else -1

    def moved(self, rows: Steps, *, forecasts: bool) -> NDArray[np.uint8]:
        """Actions of these steps, one after the other; without forecasts, what is forecast is reused."""
        return self.actions[rows] if forecasts else np.where(self.levels > 0, KEEP, self.actions)[rows]

    def equals(self, other: Guidance) -> bool:
        """Whether both have the same effect."""
        return np.array_equal(self.actions, other.actions) and np.array_equal(self.weights, other.weights)


def _weights(weights: ArrayLike | Forecasts | None, sources: Steps) -> NDArray[np.float32]:
    if weights is None:
        raise ScheduleError("A schedule that forecasts the difference of guidance needs the weights to do so.")
    of_sources = getattr(weights, "of_guidance", None)
    if of_sources is not None:
        found: NDArray[np.float32] = of_sources(sources)
        return found
    array = np.asarray(weights, dtype=np.float32)
    shape = (sources.shape[1], 2)
    if array.shape != shape or not np.isfinite(array).all():
        raise ScheduleError(
            f"The weights of a schedule's guidance have the shape {array.shape}, but finite numbers of the shape "
            f"{shape} are needed."
        )
    return array


def read_by(used: Bits, forecast: Bits, sources: Steps) -> Steps:
    """``(steps, rows)``: the last step that reads what was computed at each one; -1 for none.

    Args:
        used: ``(steps, rows)`` bool: where the last computed output is read.
        forecast: ``(steps, rows)`` bool: where the one before is, too.
        sources: ``(2, steps, rows)``: the steps of these outputs.
    """
    last = np.full(used.shape, -1, dtype=np.intp)
    for use, source in zip((used, forecast), sources, strict=True):
        for step in range(len(used)):
            rows = np.flatnonzero(use[step])
            last[source[step, rows], rows] = np.maximum(last[source[step, rows], rows], step)
    return last


def taken_over(computed: Bits, sources: Steps, guidance: Guidance, read: Bits) -> Bits:
    """Where an output of the conditional branch alone is kept beside the last one of the other branch.

    Args:
        computed: ``(steps, slots)`` bool.
        sources: ``(2, steps, slots)``, see :func:`~ecad_automl.schedules.forecast.forecast_sources`.
        guidance: of the schedule.
        read: ``(steps, slots)`` bool: the outputs that a step with both branches reads.

    Returns:
        ``(steps, slots)`` bool: what is computed alone and, for the other branch, read later.
    """
    needed = read.copy()
    found = np.zeros_like(read)
    for step in np.flatnonzero(guidance.alone)[::-1]:
        rows = np.flatnonzero(computed[step] & needed[step])
        found[step, rows] = True
        needed[sources[0, step, rows], rows] = True
    return found
