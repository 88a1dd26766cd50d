"""Workers that may be lost, and are replaced: what all engines that spread tasks have in common."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ecad_automl.errors import EvaluationError
from ecad_automl.execution.worker import Failure, Outcome, Task
from ecad_automl.wording import option

#: Workers that may be lost one after another without a single task done before it is given up.
_LOST = 3


class WorkerLostError(Exception):
    """A worker ended on its own or was killed; the message says how."""


class Engine(Protocol):
    """Starts workers somewhere, and calls them. Handles and calls are whatever the engine has for them."""

    def start(self) -> Any:
        """A new worker, which has loaded nothing yet."""
        ...

    def load(self, worker: Any, name: str) -> Any:
        """A call that has the worker load the pipeline."""
        ...

    def run(self, worker: Any, task: Task) -> Any:
        """A call that has the worker do a task; its result is an :class:`Outcome`."""
        ...

    def ready(self, calls: Sequence[Any], timeout: float | None) -> list[Any]:
        """Those of the calls that are over: at least one, unless the timeout in seconds comes first."""
        ...

    def result(self, call: Any) -> Any:
        """What a call that is over gave.

        Raises:
            WorkerLostError: the worker is gone.
            EcadError: it could not load the pipeline.
        """
        ...

    def stop(self, worker: Any) -> None:
        """End a worker, whatever it does."""
        ...

    def close(self) -> None:
        """End all that the engine has started."""
        ...


@dataclass
class _Member:
    name: str
    worker: Any
    call: Any = None
    task: Task | None = None  # None while it loads
    deadline: float = math.inf  # of its task, on the monotonic clock


class Fleet:
    """An executor of several workers. A lost one is replaced, and the task that it had fails, to be tried again.

    Workers begin to load as soon as the fleet is made; tasks wait until the first is ready.

    Args:
        engine: starts and calls workers.
        workers: how many.
        evaluation_timeout: seconds that a task may take; a worker that takes longer is ended and replaced like a lost
            one. None waits as long as it takes.
    """

    def __init__(self, engine: Engine, workers: int, evaluation_timeout: float | None = None) -> None:
        self._engine = engine
        self.workers = workers
        self._timeout = math.inf if evaluation_timeout is None else evaluation_timeout
        self._queue: deque[Task] = deque()
        self._named = 0
        self._lost = 0
        self._notes: list[str] = []
        self._members: list[_Member] = []
        try:
            self._members = [self._start() for _ in range(workers)]
        except BaseException:
            self.close()
            raise

    def submit(self, task: Task) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._queue.append(task)
        self._assign()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        found: list[Outcome] = []
        while not found and (self._queue or any(member.task for member in self._members)):
            until = min(end, *(member.deadline for member in self._members))
            left = None if math.isinf(until) else max(0.0, until - time.monotonic())
            calls = {id(member.call): member for member in self._members if member.call is not None}
            over = self._engine.ready([member.call for member in calls.values()], left)
            outcomes = [self._collect(calls[id(call)]) for call in over]
            found += [outcome for outcome in outcomes if outcome is not None]
            found += self._end_overdue()
            self._assign()
            if not over and time.monotonic() >= end:
                break
        return found

    def close(self) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._queue.clear()
        for member in self._members:
            self._engine.stop(member.worker)
        self._members = []
        self._engine.close()

    def _start(self) -> _Member:
        self._named += 1
        name = f"worker {self._named}"
        worker = self._engine.start()
        return _Member(name, worker, self._engine.load(worker, name))

    def _assign(self) -> None:
        for member in self._members:
            if not self._queue:
                return
            if member.call is None:
                member.task = self._queue.popleft()
                member.call = self._engine.run(member.worker, member.task)
                member.deadline = time.monotonic() + self._timeout

    def _end_overdue(self) -> list[Outcome]:
        """End and replace workers whose task takes too long; the failures of these tasks."""
        found: list[Outcome] = []
        for member in [member for member in self._members if time.monotonic() >= member.deadline]:
            # It may have been done in time, and the driver be late.
            if member.task is not None and not self._engine.ready([member.call], 0.0):
                how = f"It took longer over its images than the {self._timeout:g} s of {option('evaluation_timeout')}."
                found.append(self._fail(member, member.task, "was ended", how))
        return found

    def _collect(self, member: _Member) -> Outcome | None:
        """What a call that is over means: the outcome of a task, or a worker that is ready or lost."""
        task, call = member.task, member.call
        member.task, member.call, member.deadline = None, None, math.inf
        try:
            result = self._engine.result(call)
        except WorkerLostError as error:
            return self._replace(member, task, str(error))
        if task is None:
            return None
        assert isinstance(result, Outcome)
        self._lost = 0
        notes, self._notes = tuple(self._notes), []
        return replace(result, notes=(*notes, *result.notes))

    def _replace(self, member: _Member, task: Task | None, how: str) -> Outcome | None:
        self._lost += 1
        if self._lost > _LOST * self.workers:
            raise EvaluationError(
                f"{self._lost} workers in a row were lost before one was done with a task, the last one so: {how} "
                "Everything evaluated is kept; see to the workers, then run the same command."
            )
        if task is not None:
            return self._fail(member, task, "was lost", how)
        self._notes.append(self._renew(member, "was lost", how))
        return None

    def _fail(self, member: _Member, task: Task, what: str, how: str) -> Outcome:
        note = self._renew(member, what, how)
        return Outcome(task, worker=member.name, failure=Failure(f"{member.name} {what}. {how}"), notes=(note,))

    def _renew(self, member: _Member, what: str, how: str) -> str:
        """Put a new worker in the place of one, and say so."""
        self._engine.stop(member.worker)
        self._members[self._members.index(member)] = self._start()
        return f"{member.name.capitalize()} {what} and is replaced. {how}"
