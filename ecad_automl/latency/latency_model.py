"""Predicts how long the transformer takes under any schedule, from a few dozen schedules that were timed.

The time of a run is taken as a sum: something for each step, for each step that computes anything, for each block that
computes anything or nothing in such a step, for each slot that is computed or reused, and for each forecast beyond a
reuse. All terms are times, so none is negative: Lawson and Hanson's non-negative least squares. A skipped step takes no
time, and one that computes the conditional guidance branch alone takes a share of a step, the same for all terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EvaluationError, StorageError
from ecad_automl.schedules.effect import effective_compute
from ecad_automl.schedules.layout import Layout, place_of
from ecad_automl.schedules.schedule import Bits, Schedule

Floats = NDArray[np.float64]

SCHEMA = "ecad-automl/latency/2"
#: Of models that knew neither forecasts nor guidance.
_BEFORE = "ecad-automl/latency/1"

#: Fewest timed schedules that a model is fitted to.
FEWEST_SCHEDULES = 12
#: Slots that seem to save nothing still have a price, as a share of the mean one: nothing is free.
_LEAST_PRICE = 1e-3
#: Rounds of reweighting that turn least squares into nearly least absolute errors, and the smallest error that counts.
_REWEIGHTS, _SMALLEST = 8, 0.005


def term_names(layout: Layout) -> tuple[str, ...]:
    """The names of the columns of :func:`latency_terms`."""
    groups, kinds = _groups(layout), _kinds(layout)
    return (
        "step",
        "active step",
        *(f"active block of {group}" for group in groups),
        *(f"reused block of {group}" for group in groups),
        *(f"computed {group}.{component}" for group, component in kinds),
        *(f"reused {group}.{component}" for group, component in kinds),
        "forecast",
    )


def latency_terms(
    layout: Layout,
    compute: Bits,
    skip: Bits | None = None,
    forecast: Bits | None = None,
    alone: Bits | None = None,
    share: float = 1.0,
) -> Floats:
    """How often each thing that takes time happens in a run.

    Args:
        layout: the slots.
        compute: ``(n, steps, slots)`` bool.
        skip: ``(n, steps)`` bool, True where the transformer is not entered, which takes no time; none are if None.
        forecast: ``(n, steps, slots)`` bool, True where the output that is used is a forecast; none are if None.
        alone: ``(n, steps)`` bool, True where the conditional guidance branch is computed alone; none are if None.
        share: of what happens in a step, how much counts in those.

    Returns:
        ``(n, len(term_names(layout)))``:

        - all steps that are run, and those in which any slot is computed;
        - by list of blocks, in such steps: blocks in which a slot is computed, and blocks in which none is;
        - by list and component: computed slots, each by its MACs over the mean ones of its kind; and, in blocks in
          which another slot is computed, slots whose cached output is used;
        - forecasts, each by the elements of its slot over the mean ones.
    """
    effective = effective_compute(np.asarray(compute, dtype=np.bool_), layout.reader_index, skip)
    weight = np.ones(effective.shape[:2])
    if alone is not None:
        weight[alone] = share
    if skip is not None:
        weight[:, 1:][skip[:, 1:]] = 0.0  # the first step is run all the same
    readers = layout.reader_index
    read = (readers < 0) | effective[..., readers]
    starts = np.flatnonzero(np.diff(layout.block_index, prepend=-1))
    active: Bits = np.logical_or.reduceat(effective, starts, axis=2)
    step_active: Bits = np.asarray(active.any(axis=2))
    idle = ~active & step_active[:, :, None]
    reused = ~effective & read & active[..., layout.block_index]

    block_group = _members([place_of(block)[0] for block in layout.blocks], _groups(layout))
    slot_kind = _members([(place_of(s.block)[0], s.component) for s in layout.slots], _kinds(layout))
    elements = (
        layout.slot_elements / layout.slot_elements.mean() if layout.slot_elements.any() else np.ones(len(layout))
    )
    forecasts = np.zeros(len(weight)) if forecast is None else _summed(forecast, weight) @ elements
    return np.concatenate(
        [
            weight.sum(axis=1)[:, None],
            (step_active * weight).sum(axis=1)[:, None],
            _summed(active, weight) @ block_group,
            _summed(idle, weight) @ block_group,
            (_summed(effective, weight) * _relative_macs(layout, slot_kind)) @ slot_kind,
            _summed(reused, weight) @ slot_kind,
            forecasts[:, None],
        ],
        axis=1,
    )


def _summed(happens: Bits, weight: Floats) -> Floats:
    """``(n, k)``: of ``(n, steps, k)``, over steps, each counted by ``(n, steps)`` weights."""
    found: Floats = np.einsum("nsk,ns->nk", happens, weight)
    return found


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Seconds of the transformer in one pipeline call.

    Args:
        layout: the slots.
        coefficients: seconds of each of :func:`term_names`, none negative.
        error: median absolute relative error of schedules that the fit had not seen.
        samples: number of timed schedules.
        uncached_step: seconds of a step of the plain pipeline, under no schedule.
        about: what was timed, on what; JSON values.
        alone: what a step takes that computes the conditional guidance branch alone, as a share of a whole one; 1 where
            it was not measured.

    Raises:
        StorageError: the coefficients are not those of the layout, or the share is not between 0 and 1.
    """

    layout: Layout
    coefficients: tuple[float, ...]
    error: float
    samples: int
    uncached_step: float
    about: Mapping[str, Any] = field(default_factory=dict)
    alone: float = 1.0

    def __post_init__(self) -> None:
        expected = len(term_names(self.layout))
        good = len(self.coefficients) == expected and all(0 <= value < np.inf for value in self.coefficients)
        if not good:
            raise StorageError(
                f"A latency model of {self.layout.transformer} needs {expected} times that are not negative, but has "
                f"{list(self.coefficients)!r:.80}; calibrate it anew."
            )
        if not 0 <= self.alone <= 1:
            raise StorageError(
                f"In a latency model of {self.layout.transformer} one guidance branch takes {self.alone} of a step; a "
                "share from 0 to 1 is needed; calibrate it anew."
            )

    def predict(
        self, compute: Bits, skip: Bits | None = None, forecast: Bits | None = None, alone: Bits | None = None
    ) -> Floats:
        """Seconds of runs.

        Args:
            compute: ``(n, steps, slots)`` bool; any number of steps.
            skip: ``(n, steps)`` bool, see :func:`latency_terms`.
            forecast: ``(n, steps, slots)`` bool, see :func:`latency_terms`.
            alone: ``(n, steps)`` bool, see :func:`latency_terms`.

        Returns:
            ``(n,)``.
        """
        terms = latency_terms(self.layout, compute, skip, forecast, alone, self.alone)
        seconds: Floats = terms @ np.array(self.coefficients)
        return seconds

    def uncached(self, steps: int) -> float:
        """Seconds of a run of so many steps under no schedule."""
        return steps * self.uncached_step

    @cached_property
    def slot_prices(self) -> Floats:
        """``(slots,)``: seconds that one computation of each slot takes beyond its reuse in a block that is active."""
        kinds = _kinds(self.layout)
        slot_kind = _members([(place_of(s.block)[0], s.component) for s in self.layout.slots], kinds)
        computed, reused = np.array(self.coefficients[-2 * len(kinds) - 1 : -1]).reshape(2, -1)
        prices = _relative_macs(self.layout, slot_kind) * (slot_kind @ computed) - slot_kind @ reused
        mean = float(np.maximum(prices, 0.0).mean())
        floored: Floats = np.maximum(prices, _LEAST_PRICE * mean) if mean else np.ones(len(prices))
        return floored

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form, the inverse of :meth:`from_dict`."""
        return {
            "schema": SCHEMA,
            "transformer": self.layout.transformer,
            "seconds": dict(zip(term_names(self.layout), self.coefficients, strict=True)),
            "error": self.error,
            "samples": self.samples,
            "uncached_step": self.uncached_step,
            "alone": self.alone,
            "about": dict(self.about),
        }

    @classmethod
    def from_dict(cls, layout: Layout, data: Mapping[str, Any]) -> LatencyModel:
        """Read what :meth:`to_dict` wrote.

        Raises:
            StorageError: it is of another layout or schema, or damaged.
        """
        names = term_names(layout)
        try:
            seconds = {str(name): float(value) for name, value in data["seconds"].items()}
            schema, alone = data["schema"], 1.0
            if schema == _BEFORE:
                seconds["forecast"] = 0.0
            else:
                alone = float(data["alone"])
            if schema not in (SCHEMA, _BEFORE) or set(seconds) != set(names):
                raise ValueError(f"it is a {schema!r} of {data['transformer']}")  # noqa: TRY301
            coefficients = tuple(seconds[name] for name in names)
            step, about = float(data["uncached_step"]), dict(data["about"])
            return cls(layout, coefficients, float(data["error"]), int(data["samples"]), step, about, alone)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(
                f"The latency model cannot be read ({type(error).__name__}: {error}); calibrate it anew for "
                f"{layout.transformer}."
            ) from error


def fit_latency(schedules: Sequence[Schedule], seconds: Floats, uncached: float) -> LatencyModel:
    """Fit a model to timed schedules, with the error of each that was left out in turn.

    Relative errors are kept small, and single times that were disturbed hardly count.

    Args:
        schedules: ``n`` schedules of one layout.
        seconds: ``(n,)`` time of the transformer in one call under each.
        uncached: its time in one call under no schedule.

    Raises:
        EvaluationError: there are too few, or a time is not positive.
    """
    times = np.asarray(seconds, dtype=np.float64)
    if len(schedules) < FEWEST_SCHEDULES or times.shape != (len(schedules),):
        raise EvaluationError(
            f"There are {len(schedules)} schedules with times of the shape {times.shape}; a latency model needs at "
            f"least {FEWEST_SCHEDULES} with one time each."
        )
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise EvaluationError(f"The shortest of the times is {times.min()} s; all must be positive.")
    layout = schedules[0].layout
    whole = np.array([schedule.guidance.is_full for schedule in schedules])
    both, single = (np.concatenate([_terms(schedule, share) for schedule in schedules]) for share in (0.0, 1.0))
    single -= both
    seen, taken = both[whole], times[whole]
    relative = [_leave_out(seen, taken, index) for index in range(len(taken))]
    coefficients = _solve(seen, taken)
    # Of the others, what remains beside their whole steps, over what the steps of one branch would take if whole.
    shares = (times - both @ coefficients)[~whole] / (single @ coefficients)[~whole]
    alone = float(np.clip(np.median(shares), 0.0, 1.0)) if len(shares) else 1.0
    step = uncached / schedules[0].steps
    return LatencyModel(layout, tuple(coefficients.tolist()), float(np.median(relative)), len(times), step, alone=alone)


def _terms(schedule: Schedule, share: float) -> Floats:
    """``(1, terms)``."""
    forecast, alone = schedule.forecast[None, :, :-1], schedule.guidance.alone[None]
    return latency_terms(schedule.layout, schedule.effective[None], schedule.skip[None], forecast, alone, share)


def _leave_out(terms: Floats, times: Floats, index: int) -> float:
    """Relative error of one time by a fit to all others."""
    others = np.arange(len(times)) != index
    return float(abs(terms[index] @ _solve(terms[others], times[others]) / times[index] - 1))


def _solve(terms: Floats, times: Floats) -> Floats:
    """``(k,)`` non-negative coefficients of the least absolute relative errors, nearly."""
    from scipy.optimize import nnls

    scale = np.maximum(terms.max(axis=0), 1e-12)
    rows = terms / scale / times[:, None]
    weights = np.ones(len(times))
    for _ in range(_REWEIGHTS):
        found, _ = nnls(rows * weights[:, None], weights)
        weights = 1 / np.sqrt(np.maximum(np.abs(rows @ found - 1), _SMALLEST))
    coefficients: Floats = found / scale
    return coefficients


def _groups(layout: Layout) -> tuple[str, ...]:
    return tuple(dict.fromkeys(place_of(block)[0] for block in layout.blocks))


def _kinds(layout: Layout) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((place_of(slot.block)[0], slot.component) for slot in layout.slots))


def _members(labels: Sequence[Any], kinds: Sequence[Any]) -> Floats:
    """``(labels, kinds)``: 1 where the label is the kind."""
    at = {kind: index for index, kind in enumerate(kinds)}
    return np.eye(len(kinds))[[at[label] for label in labels]]


def _relative_macs(layout: Layout, slot_kind: Floats) -> Floats:
    """``(slots,)``: MACs of each slot over the mean ones of its kind; 1 where they are not known."""
    macs = layout.slot_macs.astype(np.float64)
    mean = slot_kind @ (slot_kind.T @ macs / slot_kind.sum(axis=0))
    relative: Floats = np.divide(macs, mean, out=np.ones_like(macs), where=mean > 0)
    return relative
