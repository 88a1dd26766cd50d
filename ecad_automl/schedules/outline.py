"""What a run does, in few figures: read from its text, without weights of forecasts, so also of thousands at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.guidance import BOTH
from ecad_automl.schedules.layout import Layout


@dataclass(frozen=True)
class Outline:
    """How many steps a run has, and how much of them it does.

    Args:
        steps: denoising steps.
        steps_run: those in which the transformer is entered.
        steps_guided: those in which both guidance branches are computed; None where the model has one alone.
        slots_computed: share of the slots that is computed in the steps that are run.
    """

    steps: int
    steps_run: int
    steps_guided: int | None
    slots_computed: float

    @classmethod
    def whole(cls, layout: Layout, steps: int) -> Self:
        """Of a run without a schedule."""
        return cls(steps, steps, steps if layout.branches > 1 else None, 1.0)

    @classmethod
    def of_genome(cls, layout: Layout, steps: int, text: str) -> Self:
        """Of a schedule by what :meth:`~ecad_automl.schedules.schedule.Schedule.to_genome` wrote.

        Raises:
            ScheduleError: it wrote no such text.
        """
        bits, skip, _, guidance, *_ = *text.split("/"), "", "", ""
        try:
            skipped = int(skip or "0", 16).bit_count()
            run = steps - skipped
            computed = int(bits, 16).bit_count() / (run * len(layout))
        except (ValueError, ZeroDivisionError) as error:
            raise ScheduleError(f"{text!r:.80} is not the text of a schedule of {steps} steps.") from error
        guided = run if layout.branches > 1 else None
        # What is skipped counts as both: nothing is left out there.
        return cls(steps, run, guidance.count(str(BOTH)) - skipped if guidance else guided, computed)

    def __str__(self) -> str:
        """In few words, without what is as in an uncached run: ``10 steps, 7 run, 6 guided, 92 % of slots``."""
        said = [f"{self.steps} step{'s' * (self.steps != 1)}"]
        if self.skips:
            said.append(f"{self.steps_run} run")
        if self.unguided:
            said.append(f"{self.steps_guided} guided")
        if self.slots_computed < 1:
            said.append(f"{self.percent} % of slots")
        return ", ".join(said)

    @property
    def skips(self) -> bool:
        """Whether there are steps in which the transformer is not entered."""
        return self.steps_run < self.steps

    @property
    def unguided(self) -> bool:
        """Whether a guidance branch is left out in steps that are run."""
        return self.steps_guided is not None and self.steps_guided < self.steps_run

    @property
    def percent(self) -> int:
        """:attr:`slots_computed` in percent, 100 only where it is all."""
        return int(100 * self.slots_computed) if self.slots_computed > 0.99 else round(100 * self.slots_computed)
