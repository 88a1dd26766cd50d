"""What a search asks of whoever evaluates its candidates, what it is told, and the worker that does it."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EcadError
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from ecad_automl.judging.evaluation import Evaluator

Floats = NDArray[np.float64]


class Worker:
    """Turns what goes wrong in a task into an outcome: one bad candidate ends no search. Outcomes hold its name."""

    def __init__(self, scorer: Evaluator, name: str = "") -> None:
        self._scorer = scorer
        self._name = name

    def run(self, task: Task) -> Outcome:
        """Do a task."""
        start = time.perf_counter()
        scores: dict[str, Floats] = {}
        failure, schedule = None, task.schedule
        try:
            if task.fit:
                schedule = self._scorer.fitted(schedule)
            scores = self._scorer.scores(schedule, task.images)
        except EcadError as error:
            failure = Failure(str(error), final=True)
        except Exception as error:  # noqa: BLE001 - whatever a pipeline or a reward raises
            failure = Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
        notes, self._scorer.notes = tuple(self._scorer.notes), []
        return Outcome(task, scores, time.perf_counter() - start, self._name, failure, notes, schedule)


class LocalExecutor:
    """Has a worker do a task in each call of ``wait``, whatever its timeout: until then nothing happens."""

    def __init__(self, worker: Worker) -> None:
        self.workers = 1
        self._worker = worker
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._queue.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        del timeout
        return [self._worker.run(self._queue.popleft())] if self._queue else []

    def close(self) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._queue.clear()


@dataclass(frozen=True)
class Task:
    """Some images under one schedule.

    Args:
        number: tells tasks of one executor apart.
        schedule: what to run under; it brings the weights of its forecasts along.
        images: numbers of the images to make and score, counted by prompt and then seed from 0, in this order.
        fit: whether to fit coefficients to it first.
    """

    number: int
    schedule: Schedule
    images: tuple[int, ...]
    fit: bool = False


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
        schedule: what the images were made under, which is the task's but for what was fitted; None if not known.
    """

    task: Task
    scores: Mapping[str, Floats] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    schedule: Schedule | None = None


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
