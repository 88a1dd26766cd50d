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
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage

from benchmarks.made_up_runs import made_up_drifts
from ecad_automl.execution import Failure, Outcome, Task
from ecad_automl.judging.evaluation import Evaluation, judged
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.fitted import as_it_is
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.genomes import write_genome
from ecad_automl.schedules.guidance import KEEP
from ecad_automl.schedules.guidance_errors import GuidanceErrors, guidance_errors
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.use_errors import UseErrors
from storage import DRIFT, BaselineRecord, Store, drift_of
from studies.candidates import evaluation_record
from studies.config import SearchConfig
from studies.prepared import PreparedStudy
from studies.seeds import fewer_steps, searched_steps

__all__ = ["Clock", "Latency", "Problem", "SimulatedWorkers", "virtual_planner"]

Floats = NDArray[np.float64]

_GUIDANCE = 4.5
#: What the mean error of a step does to the reward.
_HARM = 3.0
#: Images that coefficients are fitted to, before those that are scored.
_FIT_IMAGES = 4


class Problem:
    """Scores a schedule by the errors that are expected of it, and each image by how much it suffers from them.

    Stands in for an :class:`~ecad_automl.judging.evaluation.Evaluator`.

    Args:
        layout: the slots.
        steps: denoising steps.
        images: how many an evaluation makes, each of a prompt of its own.
        batch_size: images per pipeline call.
        seed: of the drift.

    Attributes:
        identity: what a study of it says of itself: all that a search may change is searched.
    """

    def __init__(self, layout: Layout, steps: int = 20, images: int = 100, batch_size: int = 10, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.layout, self.steps, self.images, self.batch_size, self.seed = layout, steps, images, batch_size, seed
        self.prompts = [f"prompt {number}" for number in range(images)]
        self.seeds = [0]
        self.settings = GenerationSettings(steps, _GUIDANCE, 64, 64, None)
        self.reward: Any = SimpleNamespace(name="reward")
        self.pipe = None
        self.notes: list[str] = []
        counts = searched_steps(steps)
        self.identity: dict[str, Any] = {
            "prompts": self.prompts,
            "use": "forecast",
            "step_counts": counts,
            "guidance": "search",
            "fit": "least squares",
        }
        self.drifts = made_up_drifts(layout, (*counts, steps), seed)
        self._suffer = rng.gamma(2.0, 0.5, images)
        self._known: dict[int, tuple[UseErrors, GuidanceErrors]] = {}

    @property
    def drift(self) -> Drift:
        """Of a run of all steps."""
        return self.drifts[self.steps]

    def prepared(self, store: Store, optuna_storage: BaseStorage, study: str, config: SearchConfig) -> PreparedStudy:
        """A study of it that was calibrated before, in whose place it evaluates."""
        return PreparedStudy(
            evaluator=self,  # type: ignore[arg-type]
            layout=self.layout,
            store=store,
            optuna_storage=optuna_storage,
            name=study,
            identity=self.identity,
            config=config,
        )

    def calibrate(self, store: Store, study: str) -> None:
        """Keep all that a search would otherwise run the pipeline for."""
        uncached = self.baseline()
        for count, drift in self.drifts.items():
            store.save_calibration(study, DRIFT if count == self.steps else drift_of(count), drift.to_bytes())
        for count in fewer_steps(self.steps):
            name, run = f"{count} steps", self.evaluate_steps(count)
            schedule = Schedule.all_compute(self.layout, count)
            genome = write_genome(schedule, self.steps)
            store.save_evaluation(study, evaluation_record(genome, name, schedule, run, self.reward.name, None))
            drop = uncached.reward - run.reward
            store.save_baseline(study, BaselineRecord(name, count, schedule.gmacs, run.reward, drop))

    def baseline(self) -> Evaluation:
        """The uncached run, which scores 1."""
        return self.evaluate_steps(self.steps)

    def why_not_fitted(self) -> None:
        """Nothing stands in the way of fitting to uncached runs."""

    def fitted(self, schedule: Schedule) -> Schedule:
        """With coefficients that change nothing."""
        return schedule.with_fitted(as_it_is(schedule.steps))

    def scores(self, schedule: Schedule, images: Sequence[int]) -> dict[str, Floats]:
        """Scores of some images: errors add up over steps, and images differ by schedule a little."""
        harm = float(-np.expm1(-self._errors(schedule)))
        luck = np.random.default_rng([crc32(schedule.to_genome().encode()), self.seed]).normal(size=self.images)
        return {"reward": (1 - harm * self._suffer * np.exp(0.2 * luck))[list(images)]}

    def _errors(self, schedule: Schedule) -> float:
        """Those of fewer steps, of outputs that are used, and of guidance by one branch."""
        count, slots = schedule.steps, len(self.layout)
        if count not in self._known:
            forecasts = Forecasts(self.drifts[count], self.layout.component_index)
            of_guidance = guidance_errors(forecasts, _GUIDANCE)
            assert of_guidance is not None
            self._known[count] = forecasts.expected_errors(), of_guidance
        errors, of_guidance = self._known[count]
        step = np.arange(count)
        last, before = np.maximum(schedule.sources, 0)
        levels = schedule.damping[:, np.append(self.layout.component_index, len(self.layout.components))]
        used = errors[levels, np.arange(slots + 1), step[:, None], last, before] * schedule.used
        guidance = schedule.guidance
        first, earlier = np.maximum(guidance.sources, 0)
        alone = of_guidance.error[np.maximum(guidance.actions.astype(np.intp) - KEEP, 0), step, first, earlier]
        found = used[:, :-1].sum() / slots + used[:, -1].sum() + alone[guidance.alone].sum()
        return float(found) / count * _HARM - float(np.log1p(-0.6 * (1 - count / self.steps)))

    def evaluate_steps(self, steps: int) -> Evaluation:
        """An uncached run of so many steps: worse by what it lacks."""
        scores = self.scores(Schedule.all_compute(self.layout, steps), range(self.images))["reward"][:, None]
        return judged(scores, np.ones_like(scores), 0.0)


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
        task: seconds that a task takes beside its images.
    """

    mean: float = 30.0
    ratios: Sequence[float] = (1.0,)
    stragglers: float = 0.01
    slowness: float = 4.0
    losses: float = 0.002
    start: float = 60.0
    task: float = 0.1


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

    @property
    def spans(self) -> Floats:
        """``(tasks, 2)``: when each began and ended."""
        return np.array(self._spans)

    def steady(self) -> float:
        """The share of time that workers evaluate between the ends of the first and the last tenth of all tasks."""
        spans = self.spans
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
        made = len(task.images) + _FIT_IMAGES * task.fit
        share = made / problem.images * (0.1 + 1.8 * schedule.mac_fraction_of(problem.steps))
        seconds = latency.task + latency.mean * share * float(self._rng.choice(latency.ratios))
        if self._rng.random() < latency.stragglers:
            seconds *= latency.slowness
        if self._rng.random() < latency.losses:
            self.lost += 1
            return Outcome(task, failure=Failure("The worker was lost.")), seconds * float(self._rng.random())
        scores = problem.scores(schedule, task.images)
        if task.fit:
            schedule = problem.fitted(schedule)
        return Outcome(task, scores, seconds, schedule=schedule), seconds


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
