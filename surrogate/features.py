"""What the surrogate sees of a schedule: sums of staleness and drift instead of raw bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError

__all__ = ["FeatureContext", "feature_names", "features"]

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

STEP_BANDS = 6
DEPTH_BANDS = 4


@dataclass(frozen=True, eq=False)
class FeatureContext:
    """What is known of a transformer before any schedule is evaluated.

    Args:
        block_index: ``(slots,)`` position of each slot's block, in the order of a forward.
        component_index: ``(slots,)`` position of each slot's component in the list of components.
        slot_macs: ``(slots,)`` MACs of one computation of each slot.
        drift: ``(slots, steps, steps)``, or None where it was not measured: ``drift[s, m, n]`` is the relative mean
            squared distance of the output of slot ``s`` at step ``n`` from the one at step ``m``.
        magnitude: ``(slots, steps)``, or None: the weight of a unit of drift of a slot at a step, such as the mean
            square of what the slot adds to the residual stream.

    Raises:
        ScheduleError: the arrays do not belong together.
    """

    block_index: Integers
    component_index: Integers
    slot_macs: NDArray[np.int64]
    drift: Floats | None = None
    magnitude: Floats | None = None

    def __post_init__(self) -> None:
        slots = len(self.block_index)
        if len(self.component_index) != slots or len(self.slot_macs) != slots:
            raise ScheduleError(
                f"There are {slots} block indices, {len(self.component_index)} component indices and "
                f"{len(self.slot_macs)} slot MACs; there must be one of each for every slot."
            )
        if self.drift is not None:
            steps = self.drift.shape[-1]
            if self.drift.shape != (slots, steps, steps):
                raise ScheduleError(f"The drift has the shape {self.drift.shape}; ({slots}, steps, steps) is needed.")
            if self.magnitude is not None and self.magnitude.shape != (slots, steps):
                raise ScheduleError(f"The magnitude has the shape {self.magnitude.shape}; ({slots}, {steps}) is needed.")

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.block_index)

    @cached_property
    def components(self) -> int:
        """Number of components."""
        return int(self.component_index.max()) + 1

    @cached_property
    def depth_band(self) -> Integers:
        """``(slots,)``: which of ``DEPTH_BANDS`` bands of adjacent blocks each slot lies in."""
        return self.block_index * DEPTH_BANDS // (int(self.block_index.max()) + 1)

    @cached_property
    def weighted_drift(self) -> Floats | None:
        """``(slots, steps, steps)``: the drift times the magnitude at the step where it matters."""
        if self.drift is None or self.magnitude is None:
            return self.drift
        return self.drift * self.magnitude[:, :, None]
