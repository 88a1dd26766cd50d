"""Evaluation in the process of the search, one task after another."""

from __future__ import annotations

from collections import deque

from ecad_automl.execution.protocol import Outcome, Task
from ecad_automl.execution.worker import Worker


class LocalExecutor:
    """Does a task in each call of ``wait``, whatever its timeout: until then nothing happens.

    Args:
        worker: does the tasks.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._queue: deque[Task] = deque()

    @property
    def workers(self) -> int:
        """One."""
        return 1

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
