"""One run of a study with all its figures, as every table, picture and page shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ecad_automl.schedules.outline import Outline

Interval = tuple[float, float]


class Kind(StrEnum):
    """What a run is in its study."""

    #: No other evaluated schedule beats it.
    FRONT = "front"
    #: A published heuristic that is not on the front.
    HEURISTIC = "heuristic"
    EVALUATED = "evaluated"
    #: Its evaluation was stopped after part of the images; the reward is what is to be expected.
    STOPPED = "stopped"
    #: It breaks a constraint of the study.
    INFEASIBLE = "infeasible"
    #: The run that all others are compared with.
    UNCACHED = "uncached"
    #: An uncached run of fewer steps.
    STEPS = "steps"


@dataclass(frozen=True)
class Confirmed:
    """A run on prompts and seeds that the search never saw.

    Args:
        reward: mean reward there.
        difference: mean paired difference of the reward to the uncached run.
        half: half width of its 95 % interval over prompts.
        survives: whether no run of at most its cost is better by more than their paired interval.
        beaten_by: that run, for people; None where there is none.
        beaten_surely: whether it is beaten also after Holm's correction over all comparisons.
        front_share: share of resampled prompt sets in which it is on the front, from 0 to 1.
        searched_difference: the same difference in the search; None where it was not run there.
        reward_interval: 95 % interval of the reward over prompts.
        images: how many were scored.
    """

    reward: float
    difference: float
    half: float
    survives: bool
    beaten_by: str | None = None
    beaten_surely: bool = False
    front_share: float = 0.0
    searched_difference: float | None = None
    reward_interval: Interval | None = None
    images: int = 0

    @property
    def difference_interval(self) -> Interval:
        """The 95 % interval of the difference over prompts."""
        return self.difference - self.half, self.difference + self.half

    @property
    def difference_text(self) -> str:
        """The difference and its interval, for people."""
        return interval_text(self.difference, self.half)

    @property
    def verdict(self) -> str:
        """Whether it survives, for people."""
        return "survives" if self.survives else f"beaten by {self.beaten_by}"


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A schedule or an uncached run, as the search scored it.

    Args:
        kind: what it is in its study.
        origin: where it came from: the name of a heuristic such as ``fora-3``, ``drift-2``, ``bred``, ``10 steps``, ...
        trial: number of its Optuna trial; None for runs that have none.
        genome: effective bits, see :meth:`ecad_automl.schedules.schedule.Schedule.to_genome`; None for an uncached run.
        outline: its steps, and how much of them it does.
        reward: mean reward; higher is better. NaN, as is the difference, for a run that only unseen prompts know.
        difference: mean paired difference of the reward to the uncached run, on the same prompts and noise.
        standard_error: of that difference, over prompts; NaN where one prompt gives none.
        half: half width of the difference's 95 % interval (Student's t over prompts); None where it has none.
        gmacs: multiply-accumulates of the transformer over a run, in 10^9, for one image.
        mac_speedup: how many times fewer of them than in the uncached run.
        cost: in what the study minimizes.
        speedup: how many times cheaper than the uncached run in what the study minimizes.
        latency_ms: milliseconds of the transformer for one image, as the study's latency model has it; None where the
            study minimizes MACs.
        complete: False where the evaluation was stopped after part of the images; reward and difference are then what
            was to be expected.
        feasible: whether it meets the constraints of the study.
        operator: the operators that bred it, joined by ``+``; None where nothing did.
        generation: in which it was bred, 0 for a seed; None where it is not known.
        filtered: whether the surrogate chose it.
        predicted_reward: by the surrogate, before it was evaluated; None where it was not.
        predicted_std: standard deviation of that.
        created: when it was evaluated, ISO 8601.
        confirmed: what unseen prompts say of it; None where they were not asked.
    """

    kind: Kind
    origin: str
    trial: int | None = None
    genome: str | None = None
    outline: Outline
    reward: float
    difference: float
    standard_error: float = math.nan
    half: float | None = None
    gmacs: float
    mac_speedup: float
    cost: float
    speedup: float
    latency_ms: float | None = None
    complete: bool = True
    feasible: bool = True
    operator: str | None = None
    generation: int | None = None
    filtered: bool = False
    predicted_reward: float | None = None
    predicted_std: float | None = None
    created: str = ""
    confirmed: Confirmed | None = None

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return self.outline.steps

    @property
    def difference_interval(self) -> Interval | None:
        """The 95 % interval of the difference over prompts; None where one prompt gives none."""
        return None if self.half is None else (self.difference - self.half, self.difference + self.half)

    @property
    def difference_text(self) -> str:
        """The difference and its interval, for people; empty for a run that the search did not make."""
        return "" if math.isnan(self.difference) else interval_text(self.difference, self.half)

    @property
    def label(self) -> str:
        """Trial and origin, for people."""
        return self.origin if self.trial is None else f"trial {self.trial} ({self.origin})"

    @property
    def savings(self) -> str:
        """How much cheaper than uncached, for people."""
        timed = "" if self.latency_ms is None else f"{self.speedup:.2f}x as fast, "
        return f"{timed}{self.mac_speedup:.2f}x fewer MACs"

    @property
    def summary(self) -> str:
        """What it is, saves and loses, for people."""
        return f"{self.label}: {self.outline}; {self.savings}, reward {self.difference_text} to uncached"


def interval_text(mean: float, half: float | None, between: str = " ± ") -> str:
    """Such as ``-0.0123 ± 0.0040``; without a half width the mean alone."""
    return f"{mean:+.4f}" + ("" if half is None else f"{between}{half:.4f}")
