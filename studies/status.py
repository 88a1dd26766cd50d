"""What a running search reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

#: Speedups, by the cost of the study, at which the best reward so far is reported.
SPEEDUPS = (1.5, 2.0, 3.0)


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
