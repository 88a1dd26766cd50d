"""A search whose evaluations take simulated time: rewards by arithmetic, and workers that a virtual clock drives.

The driver is the real one, with its database; what it computes counts with the time that it takes. What another thread
would do beside it counts as done beside it.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ecad_automl.execution import Failure, Outcome, Task
from ecad_automl.judging.evaluation import Evaluation, judged
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import staleness
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

__all__ = ["Clock", "Latency", "Problem", "SimulatedWorkers", "virtual_planner"]

Floats = NDArray[np.float64]


@dataclass
class Problem:
    """Scores a schedule by the drift of what it reuses, and each image by how much it suffers from that.

    Stands in for an :class:`~ecad_automl.judging.evaluation.Evaluator`.

    Args:
        layout: the slots.
        steps: denoising steps.
        images: how many an evaluation makes, each of a prompt of its own.
        batch_size: images per pipeline call.
        seed: of the drift.
    """

    layout: Layout
    steps: int = 20
    images: int = 100
    batch_size: int = 10
    seed: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.prompts = [f"prompt {number}" for number in range(self.images)]
        self.seeds = [0]
        self.settings = GenerationSettings(self.steps, 1.0, 64, 64, None)
        self.reward: Any = SimpleNamespace(name="reward")
        self.pipe = None
        pace = rng.gamma(1.0, 0.08, (len(self.layout), 1, 1)) * np.linspace(1.5, 0.5, self.steps)[:, None]
        apart = np.abs(np.subtract.outer(np.arange(self.steps), np.arange(self.steps)))
        distance = (1 - np.exp(-pace * apart)).astype(np.float32)
        names = tuple(slot.name for slot in self.layout.slots)
        self.drift = Drift(names, distance, np.ones((len(self.layout), self.steps), np.float32))
        self._suffer = rng.gamma(2.0, 0.5, self.images)

    def baseline(self) -> Evaluation:
        """The uncached run, which scores 1."""
        scores = np.ones((self.images, 1))
        return judged(scores, scores, 0.0)

    def scores(self, schedule: Schedule, images: Sequence[int]) -> dict[str, Floats]:
        """Scores of some images: errors compound over steps, and images differ by schedule a little."""
        steps, slots = np.arange(self.steps)[:, None], np.arange(len(self.layout))[None]
        used = self.drift.distance[slots, steps, steps - staleness(schedule.effective)].astype(float)
        harm = float(-np.expm1(-(used.mean(axis=1) * 3).sum()))
        luck = np.random.default_rng([*schedule.effective.tobytes()[:64], self.seed]).normal(size=self.images)
        return {"reward": (1 - harm * self._suffer * np.exp(0.2 * luck))[list(images)]}

    def evaluate_steps(self, steps: int) -> Evaluation:
        """Fewer steps: worse by their share."""
        uncached = self.baseline().scores
        return judged(uncached - 0.6 * (1 - steps / self.steps), uncached, 0.0)


class Clock:
    """Virtual seconds; those that the driver computes pass by themselves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.driver = 0.0
        self._aside = 0.0
        self._since = time.thread_time()

    def catch_up(self) -> None:
        """Add what the driver has computed since the last call."""
        spent = time.thread_time() - self._since - self._aside
        self.now += spent
        self.driver += spent
        self._since, self._aside = time.thread_time(), 0.0

    def beside(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """Do what another thread would do, and how many seconds it took; none of them pass."""
        begin = time.thread_time()
        result = work()
        seconds = time.thread_time() - begin
        self._aside += seconds
        return result, seconds


@dataclass(frozen=True)
class Latency:
    """How long evaluations take.

    Args:
        mean: seconds of a whole evaluation of a schedule that computes half.
        ratios: measured seconds over those that MACs and images foretell, to draw from.
        stragglers: share of tasks that take ``slowness`` times as long.
        slowness: see there.
        losses: share of tasks in whose middle the worker is lost.
        start: seconds until a worker, or its replacement, has loaded the pipeline.
    """

    mean: float = 30.0
    ratios: Sequence[float] = (1.0,)
    stragglers: float = 0.01
    slowness: float = 4.0
    losses: float = 0.002
    start: float = 60.0


class SimulatedWorkers:
    """An executor of virtual workers.

    Args:
        problem: gives the scores.
        workers: how many.
        latency: how long they take.
        clock: what drives them.
        seed: of delays and losses.
    """

    def __init__(self, problem: Problem, workers: int, latency: Latency, clock: Clock, seed: int = 0) -> None:
        self._problem, self._latency, self._clock = problem, latency, clock
        self.workers = workers
        self._rng = np.random.default_rng(seed)
        self._free = [(clock.now + latency.start, number) for number in range(workers)]
        heapq.heapify(self._free)
        self._queue: deque[tuple[float, Task]] = deque()
        self._out: list[tuple[float, int, int, Outcome]] = []
        self.busy = 0.0
        self._spans: list[tuple[float, float]] = []
        self.begun = clock.now + latency.start
        self.lost = 0

    def submit(self, task: Task) -> None:
        """See :class:`~ecad_automl.execution.Executor`."""
        self._clock.catch_up()
        self._queue.append((self._clock.now, task))
        self._begin()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """See :class:`~ecad_automl.execution.Executor`."""
        self._clock.catch_up()
        if not self._out:
            return []
        at = self._out[0][0]
        if timeout is not None:
            at = min(at, self._clock.now + timeout)
        self._clock.now = max(self._clock.now, at)
        found = []
        while self._out and self._out[0][0] <= self._clock.now:
            end, _, worker, outcome = heapq.heappop(self._out)
            heapq.heappush(self._free, (end + (self._latency.start if outcome.failure else 0.0), worker))
            found.append(outcome)
        self._begin()
        return found

    def close(self) -> None:
        """See :class:`~ecad_automl.execution.Executor`."""
        self._queue.clear()

    def steady(self) -> float:
        """The share of time that workers evaluate between the ends of the first and the last tenth of all tasks."""
        spans = np.array(self._spans)
        first, last = np.quantile(spans[:, 1], [0.1, 0.9])
        inside = np.clip(spans, first, last)
        return float((inside[:, 1] - inside[:, 0]).sum() / ((last - first) * self.workers))

    def _begin(self) -> None:
        while self._queue and self._free:
            (free, worker), (asked, task) = heapq.heappop(self._free), self._queue.popleft()
            begin = max(free, asked)
            (outcome, seconds), _ = self._clock.beside(lambda task=task: self._outcome(task))
            self.busy += seconds
            self._spans.append((begin, begin + seconds))
            heapq.heappush(self._out, (begin + seconds, task.number, worker, outcome))

    def _outcome(self, task: Task) -> tuple[Outcome, float]:
        problem, latency = self._problem, self._latency
        schedule = task.schedule
        share = len(task.images) / problem.images * (0.1 + 1.8 * schedule.mac_fraction)
        seconds = latency.mean * share * float(self._rng.choice(latency.ratios))
        if self._rng.random() < latency.stragglers:
            seconds *= latency.slowness
        if self._rng.random() < latency.losses:
            self.lost += 1
            return Outcome(task, failure=Failure("The worker was lost.")), seconds * float(self._rng.random())
        return Outcome(task, problem.scores(schedule, task.images), seconds), seconds


class _Aside(Future[Any]):
    """A result that is there once the virtual clock has reached its time."""

    def __init__(self, clock: Clock, ready: float, result: Any) -> None:
        super().__init__()
        self._clock, self._ready = clock, ready
        self.set_result(result)

    def done(self) -> bool:
        self._clock.catch_up()
        return self._clock.now >= self._ready

    def exception(self, timeout: float | None = None) -> None:
        del timeout
        self._clock.catch_up()
        self._clock.now = max(self._clock.now, self._ready)


def virtual_planner(clock: Clock, seconds: list[float]) -> Callable[..., Any]:
    """A stand-in for the pool of one thread that plans generations.

    Args:
        clock: when plans are ready by.
        seconds: is given what each plan took.
    """

    class Planner:
        def __init__(self, *_: Any) -> None:
            self._idle = clock.now

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, plan: Callable[[], Any]) -> Future[Any]:
            clock.catch_up()
            result, took = clock.beside(plan)
            seconds.append(took)
            self._idle = max(self._idle, clock.now) + took
            return _Aside(clock, self._idle, result)

    return Planner
