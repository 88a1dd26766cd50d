"""Expected errors of uses by the step that they are at and the two that they are from, kept for pasts alone."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.integer[Any]]


class UseErrors:
    """An array ``(levels, rows, steps, steps, steps)`` of which only what can be is kept: about a sixth.

    Indexed by levels, rows, steps, last and earlier sources, which broadcast, it gives what stands there; by levels and
    rows alone, as ``[:, 3]``, all of a row as an array, with 0 where the sources are not before the step, or not in
    order.

    Args:
        levels: how many levels of damping.
        rows: slots, and the transformer's output.
        steps: of a run.
    """

    def __init__(self, levels: int, rows: int, steps: int) -> None:
        self.shape = (levels, rows, steps, steps, steps)
        # What was just computed uses nothing, but may be asked for: in the last step, that stands beyond all others.
        self._kept = np.zeros((levels, rows, _place(steps, 0, 0) + steps), dtype=np.float32)

    def fill(self, step: int, errors: NDArray[np.float32]) -> None:
        """Set ``(levels, rows, step, step)`` errors of a step from earlier ones; the upper triangle is left out."""
        self._kept[:, :, _place(step, 0, 0) : _place(step + 1, 0, 0)] = errors[:, :, *np.tril_indices(step)]

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[np.float32]:
        levels, rows, *at = index
        if not at:
            return self._whole(self._kept[levels, rows])
        _, count, width = self._kept.shape
        # One flat index, since fancy indexing by several arrays takes several times as long.
        flat = (np.asarray(levels, dtype=np.intp) * count + np.mod(rows, count)) * width + _place(*at)
        found: NDArray[np.float32] = self._kept.ravel().take(flat)
        return found

    def summed(self, rows: Integers) -> NDArray[np.float32]:
        """``(levels, steps, steps, steps)``: over rows."""
        return self._whole(self._kept[:, rows].sum(axis=1))

    def _whole(self, kept: NDArray[np.float32]) -> NDArray[np.float32]:
        steps = self.shape[2]
        whole = np.zeros((*kept.shape[:-1], steps**3), dtype=np.float32)
        whole[..., self._flat] = kept[..., : len(self._flat)]
        return whole.reshape(*kept.shape[:-1], steps, steps, steps)

    @cached_property
    def _flat(self) -> Integers:
        """Where what is kept stands in the whole array of a row."""
        steps = self.shape[2]
        step, last, before = np.indices((steps,) * 3, dtype=np.int16)
        found: Integers = np.flatnonzero((before <= last) & (last < step))
        return found


def _place(step: ArrayLike, last: ArrayLike, before: ArrayLike) -> Any:
    """Where the triple stands among those in order: by step, then last source, then the one before."""
    step, last = np.asarray(step, dtype=np.intp), np.asarray(last, dtype=np.intp)
    return step * (step * step - 1) // 6 + last * (last + 1) // 2 + before
