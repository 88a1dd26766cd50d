"""What a search asks of whoever evaluates its candidates, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Some images under one schedule.

    Args:
        number: tells tasks of one executor apart.
        genome: the schedule, see :meth:`~ecad_automl.schedules.schedule.Schedule.to_genome`.
        images: numbers of the images to make and score, counted by prompt and then seed from 0, in this order.
    """

    number: int
    genome: str
    images: tuple[int, ...]


@dataclass(frozen=True)
class Failure:
    """Why a task gave no scores.

    Args:
        message: one sentence.
        traceback: where it happened, for whoever mends it; empty where there is none to show.
        final: whether it would only happen again.
    """

    message: str
    traceback: str = ""
    final: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Args:
        task: the task.
        scores: ``(n,)`` float64 by the name of the reward and of each further metric, in the order of the task's
            images; empty where it failed.
        seconds: wall time of generation and scoring.
        worker: who did it.
        failure: why there are no scores; None where there are.
        notes: what the user should be told.
    """

    task: Task
    scores: Mapping[str, Floats] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


class Executor(Protocol):
    """Does tasks. Those of a lost worker are done again by another; outcomes come in any order, one of each task."""

    @property
    def workers(self) -> int:
        """How many tasks are done at a time."""
        ...

    def submit(self, task: Task) -> None:
        """Take on a task; it begins when a worker is free, first come, first served."""
        ...

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """The outcomes that have come since the last call.

        Blocks until there is one, or until the timeout in seconds is over; with nothing submitted, returns at once.

        Raises:
            EvaluationError: no worker can be had any more.
        """
        ...

    def close(self) -> None:
        """Drop what is not done, and end the workers; may be called twice."""
        ...
