"""Schedules of a study by the texts that it keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Genomes:
    """Reads the texts by which one study knows its schedules.

    Args:
        layout: the slots.
        steps: of a run.
        load: gives the drift of the study as bytes, None where it has none; called where a schedule forecasts.
    """

    layout: Layout
    steps: int
    load: Callable[[], bytes | None] = lambda: None

    @cached_property
    def _forecasts(self) -> Forecasts:
        data = self.load()
        if data is None:
            raise ScheduleError("A schedule that forecasts outputs needs the drift of its study, which is not there.")
        drift = Drift.from_bytes(data)
        drift.check_fits(self.layout)
        return Forecasts(drift, self.layout.component_index)

    def schedule(self, genome: str) -> Schedule:
        """The schedule of a genome, see :meth:`~ecad_automl.schedules.schedule.Schedule.from_genome`.

        Raises:
            EcadError: it is none of this study, or the study's drift is missing or damaged.
        """
        weights = self._forecasts if "/" in genome else None
        return Schedule.from_genome(self.layout, self.steps, genome, weights)
