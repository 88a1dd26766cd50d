"""Schedules of a study by the texts that it keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.fitted import read_fitted
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.guidance import KEEP, NONE
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.outline import Outline
from ecad_automl.schedules.schedule import Schedule

_AFTER_STEPS = ":"


def write_genome(schedule: Schedule, steps: int) -> str:
    """The text by which a study of so many steps knows a schedule; of another number it begins with that."""
    genome = schedule.to_genome()
    return genome if schedule.steps == steps else f"{schedule.steps}{_AFTER_STEPS}{genome}"


@dataclass(frozen=True, eq=False)
class Genomes:
    """Reads the texts by which one study knows its schedules.

    Args:
        layout: the slots.
        steps: of a run.
        load: gives the drift of the study as bytes, None where it has none; called where a schedule forecasts.
        load_other: the same of runs of other numbers of steps.
        known: weights of forecasts by number of steps, where they are at hand.
        fitted: of genomes as they were written, the coefficients that were fitted, see
            :func:`~ecad_automl.schedules.fitted.write_fitted`.
    """

    layout: Layout
    steps: int
    load: Callable[[], bytes | None] = lambda: None
    load_other: Callable[[int], bytes | None] = lambda _: None
    known: dict[int, Forecasts] = field(default_factory=dict, repr=False)
    fitted: Mapping[str, str] = field(default_factory=dict, repr=False)

    def _forecasts(self, steps: int) -> Forecasts:
        if steps not in self.known:
            data = self.load() if steps == self.steps else self.load_other(steps)
            if data is None:
                raise ScheduleError(
                    f"A schedule of {steps} steps that forecasts outputs needs the drift of its study in as many, "
                    "which is not there."
                )
            drift = Drift.from_bytes(data)
            drift.check_fits(self.layout)
            self.known[steps] = Forecasts(drift, self.layout.component_index)
        return self.known[steps]

    def steps_of(self, genome: str) -> int:
        """Denoising steps of the schedule of a genome that was written."""
        told = genome.rpartition(_AFTER_STEPS)[0]
        return int(told) if told else self.steps

    def outline(self, genome: str) -> Outline:
        """What the schedule of a genome that was written does; reads no drift."""
        return Outline.of_genome(self.layout, self.steps_of(genome), genome.rpartition(_AFTER_STEPS)[2])

    def schedule(self, genome: str) -> Schedule:
        """The schedule of a genome, as :func:`write_genome` gives it.

        Raises:
            EcadError: it is none of this study, or the study's drift is missing or damaged.
        """
        before, told, bits = genome.rpartition(_AFTER_STEPS)
        steps = self.steps
        if told:
            if not (before.isascii() and before.isdigit() and len(before) < 6) or int(before) in (0, self.steps):
                raise ScheduleError(
                    f"A schedule's text begins with {before!r:.20}; only another number of steps than {self.steps} can "
                    "stand there."
                )
            steps = int(before)
        # After bits and skipped steps come levels of damping, and what is done about guidance: only these may forecast.
        levels, guidance, *_ = *bits.split("/")[2:], "", ""
        forecasts = levels.strip("0") or any(str(action) in guidance for action in range(KEEP + 1, NONE))
        weights = self._forecasts(steps) if forecasts else None
        found = Schedule.from_genome(self.layout, steps, bits, weights)
        return found.with_fitted(read_fitted(self.fitted[genome], steps)) if genome in self.fitted else found
