"""Caching schedules: for each denoising step, whether it is run, and for each slot, whether it is computed or cached.

The definition of computing and reusing is ECAD's (arXiv 2506.15682): a slot's cache entry is overwritten only when the
slot is recomputed, and an empty entry forces a recompute. Beyond it, what is used may be forecast from the last two
computed outputs instead of the last one alone, and the transformer is not entered at all in a step that is skipped.
Where there is classifier-free guidance, a step may compute one of its two branches alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules._macs import idle_modulation_macs, macs_by_step, repeated_text_macs
from ecad_automl.schedules.effect import checked, effective_compute, genome_parts, hex_of
from ecad_automl.schedules.fitted import checked_fitted, write_fitted
from ecad_automl.schedules.forecast import (
    DAMPING,
    REUSE,
    Forecasts,
    damped,
    forecast_sources,
    shared_weights,
    weights_at,
)
from ecad_automl.schedules.genes import filled_levels, guidance_bits, level_bits
from ecad_automl.schedules.guidance import Guidance, read_by, taken_over
from ecad_automl.schedules.layout import Layout, rows_at

Bits = NDArray[np.bool_]
Weights = NDArray[np.float32]
Levels = NDArray[np.uint8]


class Schedule:
    """An immutable caching schedule. Schedules of the same effect are equal and hash alike.

    In a step that is run, each slot is computed or its cache is used; in a skipped step the transformer's output is.
    What is used is the last computed output, or a forecast from the last two: ``y = x1 + g (w1 x1 + w0 x0 - x1)``, with
    ``g`` the step's and the component's damping, of :data:`~ecad_automl.schedules.forecast.DAMPING`.

    Args:
        layout: the slots.
        compute: ``(steps, slots)`` booleans or 0/1, True for recompute.
        skip: ``(steps,)`` booleans, True where the transformer is not entered; none are if None. The first step is
            always run.
        damping: ``(steps, components + 1)`` levels of damping, by component in the layout's order; the last is of the
            transformer's output. Plain reuse if None.
        weights: ``(steps, slots + 1, 2)`` numbers ``w1, w0``, the last row that of the transformer's output, or what
            gives them. Slots of one component that have the same two sources share their weights. Needed where
            anything is forecast.
        guidance: ``(steps,)`` what is done about guidance, see :mod:`ecad_automl.schedules.guidance`; both branches are
            computed in every step if None.
        guidance_weights: ``(steps, 2)`` numbers ``w1, w0``, needed where the difference of the branches is forecast;
            ``weights`` that give others give these too.
        fitted: ``(steps, 11)`` coefficients of what the scheduler is given at each step, see
            :mod:`ecad_automl.schedules.fitted`; None leaves it as it is.

    Raises:
        ScheduleError: a shape does not fit the layout, there are no steps, values are not of their kind, or weights are
            missing.
    """

    __slots__ = (
        *("__dict__", "_compute", "_damping", "_effective", "_fitted"),
        *("_guidance", "_layout", "_skip", "_weights"),
    )

    def __init__(
        self,
        layout: Layout,
        compute: ArrayLike,
        skip: ArrayLike | None = None,
        damping: ArrayLike | None = None,
        weights: ArrayLike | Forecasts | None = None,
        guidance: ArrayLike | None = None,
        guidance_weights: ArrayLike | None = None,
        fitted: ArrayLike | None = None,
    ) -> None:
        try:
            array = np.asarray(compute)
        except ValueError as error:
            raise ScheduleError(f"A schedule's bits must be rows of equal length: {error}") from error
        if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] != len(layout):
            raise ScheduleError(
                f"A schedule's bits have the shape {array.shape}, but {layout.transformer} needs (steps, {len(layout)})"
                " with at least one step."
            )
        if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
            raise ScheduleError("A schedule's bits must be 0 (reuse) or 1 (recompute); other values were found.")
        steps = len(array)
        skipped = checked(skip, (steps,), 1, "skipped steps")
        skipped[0] = False
        levels = checked(damping, (steps, len(layout.components) + 1), len(DAMPING) - 1, "levels of damping")
        self._layout = layout
        self._compute = _frozen(array.astype(np.bool_))
        self._skip: Bits = _frozen(skipped.astype(np.bool_))
        self._guidance = Guidance.of(
            guidance, self._skip, weights if isinstance(weights, Forecasts) else guidance_weights
        )
        self._effective: Bits = _frozen(
            effective_compute(self._compute, layout.reader_index, self._skip, self._guidance.actions)
        )
        given = np.tile(REUSE, (steps, len(layout) + 1, 1))
        if levels.any():
            forecast = self._may_forecast & (levels[:, self._group] > 0)
            kept = [forecast[:, self._group == group].any(axis=1) for group in range(levels.shape[1])]
            levels = np.where(np.stack(kept, axis=1), levels, 0)
            if forecast.any():
                given[forecast] = weights_at(weights, self.sources)[forecast]
        self._weights: Weights = _frozen(given)
        self._damping: Levels = _frozen(levels.astype(np.uint8))
        if self._damping.any() and not isinstance(weights, Forecasts):  # whose weights are shared
            self.forecast_table  # noqa: B018 - checks that they are
        self._fitted = None if fitted is None else _frozen(checked_fitted(fitted, self._skip))

    @classmethod
    def all_compute(cls, layout: Layout, steps: int) -> Schedule:
        """The schedule that caches nothing."""
        return cls(layout, np.ones((max(steps, 0), len(layout)), dtype=np.bool_))

    @property
    def layout(self) -> Layout:
        """The slots."""
        return self._layout

    @property
    def compute(self) -> Bits:
        """``(steps, slots)`` bool, as given; read-only."""
        return self._compute

    @property
    def effective(self) -> Bits:
        """``(steps, slots)`` bool: what a run computes; read-only. See :func:`effective_compute`."""
        return self._effective

    @property
    def skip(self) -> Bits:
        """``(steps,)`` bool: where the transformer is not entered; read-only."""
        return self._skip

    @property
    def damping(self) -> Levels:
        """``(steps, components + 1)``: levels of damping, 0 where nothing is forecast; read-only."""
        return self._damping

    @property
    def guidance(self) -> Guidance:
        """What is done about guidance."""
        return self._guidance

    @property
    def weights(self) -> Weights:
        """``(steps, slots + 1, 2)``: undamped weights, those of plain reuse where nothing is forecast; read-only."""
        return self._weights

    @property
    def coefficients(self) -> Weights:
        """``(steps, slots + 1, 2)``: by how much the last two computed outputs count where the cache is used."""
        return damped(self._weights, self._damping[:, self._group])

    @property
    def fitted(self) -> Weights | None:
        """``(steps, 11)``: see :mod:`ecad_automl.schedules.fitted`; read-only, None where nothing is fitted."""
        return self._fitted

    @property
    def is_plain(self) -> bool:
        """Whether it only computes and reuses, as in ECAD: no step is skipped, nothing forecast, no branch left out."""
        return not self._skip.any() and not self._damping.any() and self._guidance.is_full

    @cached_property
    def _group(self) -> NDArray[np.intp]:
        """``(slots + 1,)``: the column of ``damping`` of each slot, and of the transformer's output."""
        return np.append(self.layout.component_index, len(self.layout.components))

    @cached_property
    def sources(self) -> NDArray[np.intp]:
        """``(2, steps, slots + 1)``: see :func:`~ecad_automl.schedules.forecast.forecast_sources`.

        From the first step with both guidance branches on, nothing is made of what was computed before it.
        """
        found = forecast_sources(self._computed)
        begin = self._guidance.begin()
        found[:, begin + 1 :][found[:, begin + 1 :] < begin] = -1
        return found

    @cached_property
    def used(self) -> Bits:
        """``(steps, slots + 1)`` bool: where the cached outputs of a slot, or of the transformer, are read."""
        readers = self.layout.reader_index
        read = np.where(readers >= 0, self._effective[:, readers], True) & ~self._skip[:, None]
        used: Bits = np.column_stack([read & ~self._effective, self._skip])
        return used

    @cached_property
    def _may_forecast(self) -> Bits:
        may: Bits = self.used & (self.sources[1] >= 0)
        return may

    @property
    def forecast(self) -> Bits:
        """``(steps, slots + 1)`` bool: where a forecast from two outputs is used."""
        found: Bits = self._may_forecast & (self._damping[:, self._group] > 0)
        return found

    @cached_property
    def genes(self) -> Bits:
        """``(steps, columns)``: the grid of bits by which it is bred, see :mod:`ecad_automl.schedules.genes`."""
        levels = filled_levels(self._damping, self._may_forecast, self._group)
        grid: Bits = np.column_stack([self._effective | self._skip[:, None], self._skip, level_bits(levels)])
        return grid

    @cached_property
    def guided_genes(self) -> Bits:
        """``(steps, columns)``: :attr:`genes`, and what is done about guidance."""
        return np.column_stack([self.genes, guidance_bits(self._guidance)])

    @property
    def is_uncached(self) -> bool:
        """Whether a run is as without a schedule: nothing is skipped, taken from the cache or left out."""
        return not (self._skip.any() or self.used.any()) and self._guidance.is_full

    @property
    def forecast_share(self) -> float:
        """Of the outputs taken from the cache, those of the transformer included, the share that is forecast."""
        return float(self.forecast.sum() / max(int(self.used.sum()), 1))

    @cached_property
    def forecast_table(self) -> tuple[NDArray[np.intp], Weights]:
        """What is forecast: ``(n, 4)`` step, column of ``damping`` and the two sources, each once; ``(n, 2)`` weights.

        Raises:
            ScheduleError: slots of one component and sources have different weights.
        """
        table, weights, other = shared_weights(self.forecast, self._group, self.sources, self._weights)
        if other is not None:
            raise ScheduleError(
                f"At step {other[0]} the slot {self.layout.slots[other[1]].name} has other weights than another slot "
                "of its component with the same sources; they must be the same."
            )
        return table, weights

    @cached_property
    def last_read(self) -> NDArray[np.intp]:
        """``(steps, slots + 1)``: the last step that reads what was computed at each step from the cache; -1 for none.

        An output is held from the step that computes it until then.
        """
        last = read_by(self.used, self.forecast, self.sources)
        for step, row in np.argwhere(self.taken_over)[::-1]:
            source = self.sources[0, step, row]
            last[source, row] = max(last[source, row], step)
        return last

    @cached_property
    def taken_over(self) -> Bits:
        """``(steps, slots)``: see :func:`~ecad_automl.schedules.guidance.taken_over`."""
        both = self._guidance.both[:, None]
        read = read_by(self.used & both, self.forecast & both, self.sources)[:, :-1] >= 0
        return taken_over(self._effective, self.sources[:, :, :-1], self._guidance, read)

    @property
    def computes_whole_steps(self) -> bool:
        """Whether every step is skipped or computed whole: no slot is taken from the cache."""
        return not bool(self.used[:, :-1].any())

    @property
    def steps(self) -> int:
        """Number of denoising steps."""
        return int(self._compute.shape[0])

    @cached_property
    def _computed(self) -> Bits:
        """``(steps, slots + 1)``: what is computed, the transformer's output included."""
        computed: Bits = np.column_stack([self._effective, ~self._skip])
        return computed

    @cached_property
    def macs_by_step(self) -> NDArray[np.int64]:
        """``(steps,)``: multiply-accumulates of the transformer, for one image at the layout's sample."""
        return macs_by_step(self.layout, self._computed, self._guidance.alone)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the transformer over a whole run, for one image at the layout's sample."""
        return int(self.macs_by_step.sum())

    @property
    def run_macs(self) -> int:
        """:attr:`macs` less what is not done: the text's after the first step, and modulations of what is reused."""
        given = self.layout, self._computed, self._guidance.alone
        return self.macs - repeated_text_macs(*given) - idle_modulation_macs(*given)

    @property
    def cache_elements(self) -> int:
        """Elements of the slots' outputs held between two steps, for one image, where they are most; 0 if not known."""
        steps = np.arange(self.steps)
        held = (steps[:, None, None] <= steps[None, :, None]) & (steps[None, :, None] < self.last_read[:, None, :-1])
        halved = self._guidance.alone[:, None] & ~self.taken_over
        elements = np.where(halved, self.layout.slot_elements // 2, self.layout.slot_elements)
        return int((held * elements[:, None]).sum(axis=(0, 2)).max())

    @property
    def gmacs(self) -> float:
        """:attr:`macs` in units of 10^9."""
        return self.macs / 1e9

    @property
    def mac_fraction(self) -> float:
        """MACs as a share of those of the all-compute run; the share of computed slots where MACs are not known."""
        full = self.steps * self.layout.step_macs
        if full:
            return self.macs / full
        return float((self.effective.mean(axis=1) * np.where(self._guidance.alone, 0.5, 1.0)).mean())

    @property
    def mac_speedup(self) -> float:
        """How many times fewer MACs than the all-compute run."""
        return 1.0 / self.mac_fraction

    def mac_fraction_of(self, steps: int) -> float:
        """MACs as a share of those of an uncached run of so many steps."""
        return self.mac_fraction * self.steps / steps

    def resample(self, steps: int, weights: Forecasts | None = None) -> Schedule:
        """The schedule moved to another step count: each new step takes the row at the same share of the run.

        Args:
            steps: the new number of steps.
            weights: of forecasts in runs of so many steps. Without them what was forecast is reused as it is.

        Raises:
            ScheduleError: ``steps`` is below 1.
        """
        if steps < 1:
            raise ScheduleError(f"A schedule cannot be resampled to {steps} steps; at least 1 is needed.")
        rows = rows_at(self.steps, steps)
        damping = None if weights is None else self._damping[rows]
        actions = self._guidance.moved(rows, forecasts=weights is not None)
        return Schedule(self.layout, self.effective[rows], self._skip[rows], damping, weights, actions)

    def with_fitted(self, fitted: ArrayLike | None) -> Schedule:
        """The schedule with other fitted coefficients, or with none."""
        guidance = self._guidance
        return Schedule(
            self._layout,
            self._compute,
            self._skip,
            self._damping,
            self._weights,
            guidance.actions,
            guidance.weights,
            fitted,
        )

    def to_hex(self) -> str:
        """The effective bits, row by row, as hexadecimal digits."""
        return hex_of(self._effective)

    def to_genome(self) -> str:
        """The effect as text, but for the weights.

        It is the bits as :meth:`to_hex` gives them, and where the schedule is not plain, after slashes, the skipped
        steps as hexadecimal digits and the levels of damping, row by row, as one digit each; and where a guidance
        branch is left out anywhere, what is done about guidance, a digit for each step.
        """
        if self.is_plain:
            return self.to_hex()
        guidance = [] if self._guidance.is_full else [self._guidance.actions]
        digits = ("".join(map(str, values.ravel())) for values in (self._damping, *guidance))
        return "/".join((self.to_hex(), hex_of(self._skip), *digits))

    @classmethod
    def from_genome(cls, layout: Layout, steps: int, text: str, weights: Forecasts | None = None) -> Schedule:
        """Read what :meth:`to_genome` wrote.

        Args:
            layout: the slots.
            steps: number of denoising steps.
            text: the genome.
            weights: of forecasts, needed where there are any.

        Raises:
            ScheduleError: the text is not of the form and length that layout and steps ask for, or weights are missing.
        """
        compute, skip, damping, guidance = genome_parts(text, steps, len(layout), len(layout.components) + 1)
        return cls(layout, compute, skip, damping, weights, guidance)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return (
            self.layout == other.layout
            and np.array_equal(self._effective, other._effective)
            and np.array_equal(self._skip, other._skip)
            and np.array_equal(self._damping, other._damping)
            and np.array_equal(self._weights, other._weights)
            and self._guidance.equals(other._guidance)
            and write_fitted(self._fitted) == write_fitted(other._fitted)
        )

    def __hash__(self) -> int:
        effect = tuple(each.tobytes() for each in (self._effective, self._skip, self._damping, self._guidance.actions))
        return hash((self.layout.transformer, self._effective.shape, *effect))

    def __repr__(self) -> str:
        parts = [self.layout.transformer, f"steps={self.steps}", f"slots={len(self.layout)}"]
        if self._skip.any():
            parts.append(f"skipped={int(self._skip.sum())}")
        if self._damping.any():
            parts.append(f"forecast={self.forecast_share:.2f}")
        if not self._guidance.is_full:
            parts.append(f"guided={int(self._guidance.both.sum())}")
        if self._fitted is not None:
            parts.append("fitted")
        return f"Schedule({', '.join(parts)}, mac_fraction={self.mac_fraction:.3f})"

    def __reduce__(self) -> tuple[Any, ...]:
        guidance = (self._guidance.actions, self._guidance.weights)
        arrays = (self._compute, self._skip, self._damping, self._weights, *guidance)
        return Schedule, (self._layout, *map(np.array, arrays), self._fitted)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
