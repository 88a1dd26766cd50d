"""What a report tells, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = [
    "Confirmed",
    "ConfirmedFront",
    "GenerationFigures",
    "Images",
    "Kind",
    "ReportData",
    "ScheduleFigures",
    "StepsRun",
    "Usage",
]

Pictures = NDArray[np.float32]


class Kind(StrEnum):
    """What a schedule is in its study."""

    FRONT = "front"
    HEURISTIC = "heuristic"
    EVALUATED = "evaluated"
    #: Its evaluation was stopped after part of the images; the reward is what is to be expected.
    STOPPED = "stopped"
    #: It breaks a constraint of the study.
    INFEASIBLE = "infeasible"


@dataclass(frozen=True)
class Confirmed:
    """A run on prompts and seeds that the search never saw.

    Args:
        difference: mean paired difference of the reward to the uncached run.
        half: half width of its 95 % interval over prompts.
        survives: whether no run of at most its cost is better by more than their paired interval.
        beaten_by: that run, for people; None where there is none.
        front_share: share of resampled prompt sets in which it is on the front, from 0 to 1.
    """

    difference: float
    half: float
    survives: bool
    beaten_by: str | None = None
    front_share: float | None = None


@dataclass(frozen=True)
class ScheduleFigures:
    """An evaluated schedule.

    Args:
        genome: effective bits, see :meth:`ecad_automl.schedules.schedule.Schedule.to_hex`.
        kind: what it is in the study.
        cost: in what the study minimizes.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        reward: mean reward, higher is better.
        difference: mean paired difference of the reward to the uncached run.
        half: half width of its 95 % interval over prompts; None where not known.
        trial: number of the Optuna trial; None before it has one.
        origin: how the study came to it, such as ``fora-3``, ``drift-2`` or ``bred``.
        operator: the operators that bred it, joined by ``+``; None where nothing did.
        generation: in which it was bred; None for a seed.
        confirmed: what unseen prompts say of it; None where they were not asked.
    """

    genome: str
    kind: Kind
    cost: float
    gmacs: float
    reward: float
    difference: float
    half: float | None = None
    trial: int | None = None
    origin: str = ""
    operator: str | None = None
    generation: int | None = None
    confirmed: Confirmed | None = None


@dataclass(frozen=True)
class StepsRun:
    """An uncached run of fewer steps, in the search, on unseen prompts, or both.

    Args:
        name: such as ``10 steps``.
        cost: in what the study minimizes.
        gmacs: multiply-accumulates in 10^9 for one image.
        difference: mean paired difference to the full uncached run in the search; None where it was not run there.
        half: half width of its 95 % interval; None where not known.
        confirmed: what unseen prompts say of it.
    """

    name: str
    cost: float
    gmacs: float
    difference: float | None = None
    half: float | None = None
    confirmed: Confirmed | None = None


@dataclass(frozen=True)
class GenerationFigures:
    """What one generation says of the surrogate.

    Args:
        generation: its number, from 0.
        evaluations: evaluated schedules so far.
        rank_correlation: out-of-sample rank correlation within bands of equal cost; None where not known.
        coverage: share of out-of-sample rewards inside the 90 % intervals; None where not known.
        surrogate_used: whether the surrogate chose candidates.
    """

    generation: int
    evaluations: int
    rank_correlation: float | None = None
    coverage: float | None = None
    surrogate_used: bool = False


@dataclass(frozen=True)
class ConfirmedFront:
    """What unseen prompts say of the whole front.

    Args:
        prompts: how many.
        seeds: of each prompt.
        sentences: for people.
    """

    prompts: int
    seeds: int
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """How a schedule leaves the report; ``{trial}`` stands for its number.

    Args:
        export: shell command that writes the schedule file of ``{trial}``.
        file: the file it writes; ``{speedup}`` stands for the speedup with two digits.
        snippet: Python that applies ``{file}``, which stands for the file as a string literal.
        images: shell command that makes a report with images.
    """

    export: str
    file: str
    snippet: str
    images: str


@dataclass(frozen=True, eq=False)
class Images:
    """Images of some prompts, uncached and under some schedules.

    Args:
        prompts: ``n`` prompts.
        source: where the prompts are from, for people.
        uncached: ``(n, h, w, 3)`` float in [0, 1].
        schedules: by genome, the same from the same noise.
    """

    prompts: tuple[str, ...]
    source: str
    uncached: Pictures
    schedules: Mapping[str, Pictures]


@dataclass(frozen=True)
class ReportData:
    """All that a report tells.

    Args:
        name: of the study.
        facts: label to text, for the head of the report; what follows a line break is an aside.
        versions: package to version.
        prompts: those of the search.
        reward_name: what was scored with.
        cost_name: what is minimized: ``MACs`` or ``latency``.
        cost_unit: its unit, such as ``GMACs per image``.
        full_cost: of the uncached run, in that unit.
        full_gmacs: of the uncached run.
        uncached_reward: mean reward of the uncached run.
        steps: denoising steps of the schedules.
        layout: the slots of the schedules.
        schedules: every evaluated one: first the front, the cheapest first, then the others, oldest first.
        runs: uncached runs of fewer steps, the cheapest first.
        hypervolume: after each evaluation, 1 for the uncached reward at no cost.
        generations: of the search, in order.
        usage: how schedules leave the report.
        made: when, for people.
        confirmed: what unseen prompts say of the front; None where they were not asked.
        images: None where none were asked for.
    """

    name: str
    facts: Mapping[str, str]
    versions: Mapping[str, str]
    prompts: tuple[str, ...]
    reward_name: str
    cost_name: str
    cost_unit: str
    full_cost: float
    full_gmacs: float
    uncached_reward: float
    steps: int
    layout: Layout
    schedules: tuple[ScheduleFigures, ...]
    runs: tuple[StepsRun, ...]
    hypervolume: tuple[float, ...]
    generations: tuple[GenerationFigures, ...]
    usage: Usage
    made: str
    confirmed: ConfirmedFront | None = None
    images: Images | None = field(default=None, repr=False)

    @property
    def front(self) -> tuple[ScheduleFigures, ...]:
        """The schedules that no other one beats, the cheapest first."""
        return tuple(schedule for schedule in self.schedules if schedule.kind is Kind.FRONT)

    def speedup(self, run: ScheduleFigures | StepsRun) -> float:
        """How many times cheaper than the uncached run, in what the study minimizes."""
        return self.full_cost / run.cost

    def schedule(self, figures: ScheduleFigures) -> Schedule:
        """The schedule that figures are of."""
        return Schedule.from_hex(self.layout, self.steps, figures.genome)

    def export_command(self, figures: ScheduleFigures) -> str:
        """The shell command that exports a schedule with a trial."""
        return self.usage.export.replace("{trial}", str(figures.trial))

    def snippet(self, figures: ScheduleFigures) -> str:
        """Python that applies the exported file of a schedule."""
        file = self.usage.file.replace("{speedup}", f"{self.speedup(figures):.2f}")
        literal = json.dumps(file.replace("{trial}", str(figures.trial)), ensure_ascii=False)
        return self.usage.snippet.replace("{file}", literal)
