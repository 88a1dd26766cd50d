"""What another study knows, as the point from which the surrogate learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StudyError
from surrogate.features import Bits, FeatureContext, group_drift
from surrogate.harm import HarmModel, fit_harm

__all__ = ["Prior"]


@dataclass(frozen=True, eq=False)
class Prior:
    """Evaluations of another study.

    A trend fitted to them is what the weights of the new trend are drawn to, instead of to equal ones, so it gives way
    as own evaluations come. Evaluations of both studies in one fit, the old ones at a lower weight, would rank as well,
    but rewards of two studies do not fall to the same depths, and predictions would miss by more.

    Args:
        compute: ``(n, steps, slots)`` effective bits, moved to the layout and step count of the new study.
        log_drop: ``(n,)``, each on the scale of its own study, see :class:`~surrogate.drop.LogDrop`.

    Raises:
        StudyError: lengths differ, or values are not finite.
    """

    compute: Bits
    log_drop: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.compute.ndim != 3 or self.log_drop.shape != self.compute.shape[:1]:
            raise StudyError(
                f"A prior has schedules of the shape {self.compute.shape} and log drops of {self.log_drop.shape}; "
                "(n, steps, slots) and (n,) are needed."
            )
        if not np.isfinite(self.log_drop).all():
            raise StudyError("A prior has log drops that are not finite; leave failed evaluations out.")

    def trend(self, context: FeatureContext) -> HarmModel | None:
        """The trend of the other study's evaluations by the drift of the new one's transformer; None without any.

        Args:
            context: of the new study.

        Raises:
            ScheduleError: the schedules do not fit the context.
        """
        return fit_harm(group_drift(self.compute, context), self.log_drop) if len(self.compute) else None
