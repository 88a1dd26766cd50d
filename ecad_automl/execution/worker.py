"""Does tasks with a loaded pipeline, in this process or in another one."""

from __future__ import annotations

import time
import traceback
from collections import deque
from typing import TYPE_CHECKING

from ecad_automl.errors import EcadError
from ecad_automl.execution.protocol import Failure, Floats, Outcome, Task
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from ecad_automl.judging.evaluation import Evaluator


class Worker:
    """Turns what goes wrong in a task into an outcome: one bad candidate ends no search. Outcomes hold its name."""

    def __init__(self, scorer: Evaluator, layout: Layout, steps: int, name: str = "") -> None:
        self._scorer = scorer
        self._layout = layout
        self._steps = steps
        self._name = name

    def run(self, task: Task) -> Outcome:
        """Do a task."""
        start = time.perf_counter()
        scores: dict[str, Floats] = {}
        failure = None
        try:
            scores = self._scorer.scores(Schedule.from_genome(self._layout, self._steps, task.genome), task.images)
        except EcadError as error:
            failure = Failure(str(error), final=True)
        except Exception as error:  # noqa: BLE001 - whatever a pipeline or a reward raises
            failure = Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
        notes, self._scorer.notes = tuple(self._scorer.notes), []
        return Outcome(task, scores, time.perf_counter() - start, self._name, failure, notes)


class LocalExecutor:
    """Has a worker do a task in each call of ``wait``, whatever its timeout: until then nothing happens."""

    def __init__(self, worker: Worker) -> None:
        self.workers = 1
        self._worker = worker
        self._queue: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """See :class:`~ecad_automl.execution.protocol.Executor`."""
        self._queue.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :class:`~ecad_automl.execution.protocol.Executor`."""
        del timeout
        return [self._worker.run(self._queue.popleft())] if self._queue else []

    def close(self) -> None:
        """See :class:`~ecad_automl.execution.protocol.Executor`."""
        self._queue.clear()
