"""Choosing among the runs of a study: by speedup, by drop, or where the front bends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from surrogate.pareto import cheapest_within_drop, knee, most_reward_at_speedup

R = TypeVar("R", bound=RunView)


def at_speedup(study: StudyView, speedup: float, among: Sequence[R]) -> R:
    """The run of the highest reward that is at least so many times cheaper than the uncached run.

    Raises:
        StudyError: none is that cheap.
    """
    return among[most_reward_at_speedup(*_values(among), study.uncached.cost, speedup)]


def within_drop(drop: float, among: Sequence[R]) -> R:
    """The cheapest run whose mean reward is at most so much below that of the uncached run.

    Raises:
        StudyError: every run loses more.
    """
    return among[cheapest_within_drop(*_values(among), [0.0 - run.difference for run in among], drop)]


def at_knee(among: Sequence[R]) -> R:
    """The run where a front bends most.

    Raises:
        StudyError: there is none.
    """
    return among[knee(*_values(among))]


def _values(runs: Sequence[RunView]) -> tuple[list[float], list[float]]:
    return [run.reward for run in runs], [run.cost for run in runs]
