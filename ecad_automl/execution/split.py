"""Several workers that do one task at a time, each a part of its images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import numpy as np

from ecad_automl.execution.worker import Executor, Floats, Outcome, Task


def divided(images: Sequence[int], batch: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Images in at most so many parts, each of whole batches, so that their scores are the same bit for bit.

    The last batch, which may be a small one, is in a part that has one more than others.
    """
    batches = [tuple(images[start : start + batch]) for start in range(0, len(images), batch)]
    backwards = np.array_split(np.arange(len(batches))[::-1], min(parts, len(batches)))
    for part in reversed(backwards):
        yield tuple(image for index in reversed(part) for image in batches[index])


class SplitExecutor:
    """One worker to whoever submits tasks, made of several.

    A search with one worker asks for candidates one by one, so what it finds does not depend on how many these are.

    Args:
        workers: who does the parts.
        batch: images per pipeline call.
    """

    def __init__(self, workers: Executor, batch: int) -> None:
        self.workers = 1
        self._workers, self._batch = workers, batch
        self._numbers = count()
        self._task_of: dict[int, Task] = {}  # by number of a part that is not done
        self._done: dict[int, list[Outcome]] = {}  # by number of a task

    def submit(self, task: Task) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._done[task.number] = []
        for images in divided(task.images, self._batch, self._workers.workers):
            part = Task(next(self._numbers), task.schedule, images, task.fit)
            self._task_of[part.number] = task
            self._workers.submit(part)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :class:`~ecad_automl.execution.worker.Executor`; a timeout is that of each wait for parts."""
        found: list[Outcome] = []
        while not found and self._task_of:
            outcomes = self._workers.wait(timeout)
            for outcome in outcomes:
                task = self._task_of.pop(outcome.task.number)
                parts = self._done[task.number]
                parts.append(outcome)
                if task not in self._task_of.values():
                    found.append(_joined(task, self._done.pop(task.number)))
            if timeout is not None and not outcomes:
                break
        return found

    def close(self) -> None:
        """See :class:`~ecad_automl.execution.worker.Executor`."""
        self._task_of.clear()
        self._done.clear()
        self._workers.close()


def _joined(task: Task, parts: Sequence[Outcome]) -> Outcome:
    """What became of a task; failed where a part has, and over when the last one was."""
    failure = next((part.failure for part in parts if part.failure is not None), None)
    return Outcome(
        task,
        {} if failure else _scores(task, parts),
        max(part.seconds for part in parts),
        " and ".join(sorted({part.worker for part in parts})),
        failure,
        tuple(note for part in parts for note in part.notes),
        parts[0].schedule,
    )


def _scores(task: Task, parts: Sequence[Outcome]) -> Mapping[str, Floats]:
    place = {image: number for number, image in enumerate(task.images)}
    found = {name: np.full(len(place), np.nan) for name in parts[0].scores}
    for part in parts:
        at = [place[image] for image in part.task.images]
        for name, values in part.scores.items():
            found[name][at] = values
    return found
