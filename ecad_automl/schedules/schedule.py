"""Caching schedules: for each denoising step and slot, whether to recompute or to reuse the cached output.

The definition is ECAD's (arXiv 2506.15682): a slot's cache entry is overwritten only when the slot is recomputed,
and an empty entry forces a recompute.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.layout import Layout

Bits = NDArray[np.bool_]


def effective_compute(compute: Bits, readers: NDArray[np.intp]) -> Bits:
    """What a run under ``compute`` really computes.

    The first step computes everything, since all entries are empty; and a recompute whose output nobody reads before
    the next recompute of the same slot is dead work, and dropped.

    Args:
        compute: ``(..., steps, slots)`` bool, True for recompute.
        readers: ``(slots,)``: index of the one slot that reads each slot's output, or -1 for the residual stream.

    Returns:
        ``(..., steps, slots)`` bool.
    """
    effective = compute.copy()
    effective[..., 0, :] = True
    # Readers of readers do not occur in any transformer, so one pass over the slots that have a reader is enough.
    read = np.flatnonzero(readers >= 0)
    if len(read):
        reads = effective[..., readers[read]]
        needed = np.zeros(reads[..., 0, :].shape, dtype=np.bool_)
        for step in range(compute.shape[-2] - 1, -1, -1):
            needed |= reads[..., step, :]
            effective[..., step, read] &= needed
            needed &= ~effective[..., step, read]
    return effective


def held_outputs(effective: Bits, readers: NDArray[np.intp]) -> Bits:
    """Which outputs are still to be read after each step, and so are held.

    Args:
        effective: ``(steps, slots)`` bool: what is computed.
        readers: ``(slots,)``: index of the one slot that reads each slot's output, or -1 for the residual stream,
            which reads at every step.

    Returns:
        ``(steps, slots)`` bool.
    """
    read = np.where(readers >= 0, effective[:, readers], True)
    held = np.zeros_like(effective)
    for step in range(len(effective) - 2, -1, -1):
        held[step] = ~effective[step + 1] & (held[step + 1] | read[step + 1])
    return held


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


class Schedule:
    """An immutable caching schedule. Schedules of the same effect are equal and hash alike.

    Args:
        layout: the slots.
        compute: ``(steps, slots)`` booleans or 0/1, True for recompute.

    Raises:
        ScheduleError: the shape does not fit the layout, there are no steps, or values are not 0 and 1.
    """

    __slots__ = ("_compute", "_effective", "_layout")

    def __init__(self, layout: Layout, compute: ArrayLike) -> None:
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
        self._layout = layout
        self._compute = _frozen(array.astype(np.bool_))
        self._effective = _frozen(effective_compute(self._compute, layout.reader_index))

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
    def steps(self) -> int:
        """Number of denoising steps."""
        return int(self._compute.shape[0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the transformer over a whole run, for one image at the layout's sample."""
        return self.steps * self.layout.constant_macs + int(self.effective.sum(axis=0) @ self.layout.slot_macs)

    @property
    def run_macs(self) -> int:
        """:attr:`macs` less those on the text, which a run under the schedule does once and not in every step."""
        again = (self.effective.sum(axis=0) - 1) @ self.layout.slot_text_macs
        return self.macs - (self.steps - 1) * self.layout.text_macs - int(again)

    @property
    def cache_elements(self) -> int:
        """Elements of the outputs held between two steps, for one image, where they are most; 0 if not known."""
        held = held_outputs(self.effective, self.layout.reader_index)
        return int((held @ self.layout.slot_elements).max())

    @property
    def gmacs(self) -> float:
        """:attr:`macs` in units of 10^9."""
        return self.macs / 1e9

    @property
    def mac_fraction(self) -> float:
        """MACs as a share of those of the all-compute run; the share of computed slots where MACs are not known."""
        full = self.steps * self.layout.step_macs
        return self.macs / full if full else float(self.effective.mean())

    @property
    def mac_speedup(self) -> float:
        """How many times fewer MACs than the all-compute run."""
        return 1.0 / self.mac_fraction

    def resample(self, steps: int) -> Schedule:
        """The schedule moved to another step count: each new step takes the row at the same share of the run.

        Raises:
            ScheduleError: ``steps`` is below 1.
        """
        if steps < 1:
            raise ScheduleError(f"A schedule cannot be resampled to {steps} steps; at least 1 is needed.")
        rows = np.minimum((np.arange(steps) + 0.5) * self.steps / steps, self.steps - 1).astype(np.intp)
        return Schedule(self.layout, self.effective[rows])

    def to_hex(self) -> str:
        """The effective bits, row by row, as hexadecimal digits: the genome of the schedule."""
        return np.packbits(self.effective.ravel()).tobytes().hex()

    @classmethod
    def from_hex(cls, layout: Layout, steps: int, text: str) -> Schedule:
        """Read what :meth:`to_hex` wrote.

        Raises:
            ScheduleError: the text is not hexadecimal or not of the length that layout and steps ask for.
        """
        bits = max(steps, 0) * len(layout)
        try:
            data = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
        except (ValueError, TypeError) as error:
            raise ScheduleError(f"Schedule bits are not hexadecimal: {error}.") from error
        if len(data) != -(-bits // 8):
            raise ScheduleError(
                f"Schedule bits have {len(text)} hexadecimal digits, but {steps} steps of {len(layout)} slots need "
                f"{2 * -(-bits // 8)}."
            )
        return cls(layout, np.unpackbits(data, count=bits).reshape(steps, len(layout)).astype(np.bool_))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self.layout == other.layout and np.array_equal(self.effective, other.effective)

    def __hash__(self) -> int:
        return hash((self.layout.transformer, self.effective.shape, self.effective.tobytes()))

    def __repr__(self) -> str:
        return (
            f"Schedule({self.layout.transformer}, steps={self.steps}, slots={len(self.layout)}, "
            f"mac_fraction={self.mac_fraction:.3f})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, (self.layout, np.array(self.compute))


def _frozen(array: Bits) -> Bits:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
