"""What a search has reached so far, kept up as evaluations come in, and who is told of it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from studies.quality import Scale
from surrogate import Accuracy, GrowingFront

#: Speedups, by the cost of the study, at which the best reward so far is reported.
SPEEDUPS = (1.5, 2.0, 3.0)
#: The time that is left is told from so many of the latest evaluations.
_LATEST = 20


@dataclass(frozen=True)
class SearchStatus:
    """A search at one moment.

    Args:
        evaluations: schedules evaluated so far, earlier runs included.
        budget: schedules to evaluate in all, where none is stopped early; else so many that it takes as many images.
        stopped: how many of the schedules were stopped after part of their images.
        images: images of candidates so far, in units of one whole evaluation.
        generation: the current generation; 0 are the seeds.
        hypervolume: normalized hypervolume of the front, see :mod:`studies.quality`.
        best: for each of ``SPEEDUPS``, the best mean reward difference at that speedup or more, or None.
        rank_correlation: of the surrogate, within bands of equal cost, on candidates of the last generations before
            they were evaluated; None while there are too few.
        coverage: share of those whose reward lay in the surrogate's 90 % interval; None likewise.
        seconds_left: estimated time to the end of the budget, or None before the first evaluation.
        text: what is being done.
    """

    evaluations: int
    budget: int
    generation: int
    stopped: int = 0
    images: float = 0.0
    hypervolume: float | None = None
    best: Mapping[float, float | None] = field(default_factory=dict)
    rank_correlation: float | None = None
    coverage: float | None = None
    seconds_left: float | None = None
    text: str = ""


class SearchObserver(Protocol):
    """Is told how a search goes."""

    def update(self, status: SearchStatus) -> None:
        """Something changed."""
        ...

    def message(self, text: str) -> None:
        """Something happened that the user should read."""
        ...


class SilentObserver:
    """Ignores everything."""

    def update(self, status: SearchStatus) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


class Progress:
    """Counts, the front and the pace of one study.

    Args:
        scale: rewards and costs of interest.
        budget: whole evaluations, by images.

    Attributes:
        evaluations: schedules evaluated, stopped ones included.
        images: of them, in units of one whole evaluation.
    """

    def __init__(self, scale: Scale, budget: int) -> None:
        self._scale = scale
        self._budget = budget
        self.evaluations = 0
        self._stopped = 0
        self.images = 0.0
        self._members: Counter[int] = Counter()
        self._front = GrowingFront()
        self._hypervolume: float | None = None
        self._best: dict[float, float | None] = dict.fromkeys(SPEEDUPS)
        self._finished: deque[tuple[float, float]] = deque(maxlen=_LATEST + 1)

    @property
    def generation(self) -> int:
        """The last one of which a schedule was evaluated; 0 are the seeds."""
        return max(self._members, default=0)

    def members(self, generation: int) -> int:
        """How many of a generation were evaluated."""
        return self._members[generation]

    def add(self, generation: int, reward: float, cost: float, *, share: float, whole: bool, feasible: bool) -> None:
        """Note an evaluated candidate."""
        self.evaluations += 1
        self._stopped += not whole
        self.images += share
        self._members[generation] += 1
        if not whole or not feasible:
            return
        for speedup in SPEEDUPS:
            if round(self._scale.full_cost / cost, 4) >= speedup:
                difference = reward - self._scale.uncached_reward
                before = self._best[speedup]
                self._best[speedup] = difference if before is None else max(before, difference)
        if self._front.add(reward, cost):
            self._hypervolume = self._scale.hypervolume(self._front.rewards, self._front.costs)

    def tick(self) -> None:
        """Note the time: when candidates begin, and whenever one is done."""
        self._finished.append((time.monotonic(), self.images))

    def status(self, text: str, accuracy: Accuracy) -> SearchStatus:
        """All of it, for people."""
        return SearchStatus(
            evaluations=self.evaluations,
            budget=self._budget,
            generation=self.generation,
            stopped=self._stopped,
            images=self.images,
            hypervolume=self._hypervolume,
            best=dict(self._best) if self._hypervolume is not None else {},
            rank_correlation=accuracy.rank_correlation,
            coverage=accuracy.coverage,
            seconds_left=self._seconds_left(),
            text=text,
        )

    def _seconds_left(self) -> float | None:
        if len(self._finished) < 2:
            return None
        (begin, before), (end, after) = self._finished[0], self._finished[-1]
        if after <= before:
            return None
        return max(0.0, self._budget - after) * (end - begin) / (after - before)
