"""The search: calibrate, seed, then breed, prefilter and evaluate until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

from optuna.trial import Trial, TrialState

from ecad_automl.errors import RewardError
from ecad_automl.execution import Executor, Failure, LocalExecutor, Outcome, Worker
from storage import EvaluationRecord
from studies.breeding.stale import release
from studies.candidates import Candidate, CandidateQueue, frozen_trial
from studies.early_stopping import early_stopping_of
from studies.generations import Generations
from studies.interrupt import uninterrupted
from studies.planning import Planner
from studies.prepared import PreparedStudy
from studies.progress import SearchStatus
from studies.trials import budget_share

#: Candidates that may fail one after another before the search gives up.
_FAILURES = 3
#: Seconds between two looks at a generation that is being planned while a worker has nothing to do.
_GLANCE = 0.02


def search_study(
    prepared: PreparedStudy,
    *,
    executor: Callable[[], Executor] | None = None,
    after_generation: Callable[[int], str | None] | None = None,
) -> SearchStatus:
    """Search a study, over any number of calls, until it holds the images of as many whole evaluations as budgeted.

    Args:
        prepared: the study.
        executor: starts what evaluates candidates; None has the study's evaluator do it.
        after_generation: is called with the number of a generation whose figures are stored, as for a backup; what it
            gives is told.

    Raises:
        StudyError: no new candidates can be bred.
        RewardError: candidate after candidate got no usable score.
        StorageError: the file cannot be written.
        EvaluationError: no worker can be had.
    """

    def local() -> Executor:
        return LocalExecutor(Worker(prepared.evaluator))

    with ExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(1, "planner"))
        workers = stack.enter_context(closing((executor or local)()))
        return Search(prepared, workers, thread, after_generation).run()


class Search:
    """The loop of one search.

    Every evaluation is in the store before Optuna is told, so a crash between the two costs nothing; candidates that
    were being evaluated are proposed again. The random stream of a generation depends on the seed and the number of
    the generation alone, and what it learns from on a set of evaluations, not on when they were made: an interrupted
    and resumed study proposes what an uninterrupted one would have. With several workers this holds where the config
    is not asynchronous; an asynchronous search uses results as they arrive, and no worker waits for another.
    """

    def __init__(
        self,
        prepared: PreparedStudy,
        executor: Executor,
        thread: ThreadPoolExecutor,
        after_generation: Callable[[int], str | None] | None = None,
    ) -> None:
        self._on = prepared
        self._metric = prepared.evaluator.reward.name
        self._study, self._sampler, self._config = prepared.study, prepared.sampler, prepared.config
        self._queue = CandidateQueue(executor, prepared.evaluator.batch_size)
        self._observer = prepared.observer
        self._after_generation = after_generation or (lambda _: None)
        self._generations = Generations(prepared)
        self._progress = self._generations.progress
        self._seeds_left = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        self._stopping = early_stopping_of(prepared, self._queue.workers)
        self._planner = Planner(self._study, self._sampler, thread)
        self._failures = 0

    def run(self) -> SearchStatus:
        """Search until the budget is spent."""
        self._generations.save_missing(self._seeds_left)
        self._progress.tick()
        try:
            self._evaluate_candidates()
        except BaseException:
            # Ctrl-C among others: these are asked again by the next run.
            with uninterrupted():
                for candidate in self._queue.candidates:
                    release(self._study, candidate.frozen)
            raise
        return self._tell_status("done")

    def _evaluate_candidates(self) -> None:
        while True:
            self._ask_for_more()
            if not self._queue.candidates and not self._wanted():
                return
            plans = self._queue.idle > 0 and self._planner.plans
            for outcome in self._queue.wait(_GLANCE if plans else None):
                self._take(outcome)
            if plans and self._queue.waits_for_nothing:
                self._planner.wait()

    # Asking

    def _wanted(self) -> bool:
        """Whether the budget has room for another candidate, if all that are on their way get all their images."""
        return self._progress.images + len(self._queue.candidates) < self._config.evaluations

    def _ask_for_more(self) -> None:
        """Ask for candidates while workers have nothing to do, and share out what there is to make."""
        new: list[Candidate] = []
        while len(new) < self._queue.idle and self._wanted() and self._may_ask():
            candidate = self._ask()
            if candidate is not None and candidate.fits:
                new.append(candidate)
            elif candidate is not None:
                self._queue.submit(candidate, self._queue.idle)
        idle = self._queue.idle
        for index, candidate in enumerate(new):
            self._queue.submit(candidate, idle * (index + 1) // len(new) - idle * index // len(new))
        if self._queue.workers > 1 and self._wanted():
            self._may_ask()  # has the next generation planned before a worker waits for it

    def _may_ask(self) -> bool:
        """Whether another candidate can be asked for now."""
        if self._seeds_left:
            return True
        generation, pending = self._open_generation(), self._queue.candidates
        if any(candidate.generation != generation for candidate in pending):
            if not self._config.asynchronous:
                return False
            if generation == 1 and self._progress.evaluations < len(pending):
                return False  # half of the seeds: from fewer there is little to learn
        alone = self._queue.workers == 1 or not self._config.asynchronous
        return alone or self._sampler.plan(generation) is not None or self._planned_aside(generation)

    def _open_generation(self) -> int:
        return self._generations.open([candidate.generation for candidate in self._queue.candidates])

    def _planned_aside(self, generation: int) -> bool:
        if planned := self._planner.done(generation):
            self._note_plan(generation)
        return planned

    def _ask(self) -> Candidate | None:
        """The next candidate; None where it needs no images, since the store has its scores.

        Ctrl-C takes effect while images are made, which is nearly always, and is held back while records are written.
        """
        with uninterrupted():
            trial = self._next_trial()
            frozen = frozen_trial(self._on.optuna_storage, trial)
            schedule, generation = self._sampler.candidate(frozen), self._generations.of(frozen)
            cost = self._on.cost.of(schedule)
            self._seeds_left -= generation == 0
            parts, anchors = self._stopping.parts(generation)
            candidate = Candidate(trial, frozen, schedule, cost, generation, self._on.uncached, parts, anchors)
            candidate.steps = self._on.evaluator.settings.steps
            candidate.fits = self._on.fits and not schedule.is_uncached
            record = self._on.store.evaluation(self._on.name, candidate.genome)
            if record is None:
                self._queue.candidates.append(candidate)
                return candidate
            # Of the calibration, or of a run that was killed before it could tell.
            self._finish(candidate, record)
            return None

    def _next_trial(self) -> Trial:
        """A seed that waits, or the next bred one."""
        if self._seeds_left:
            return self._study.ask(self._sampler.distributions)
        generation = self._open_generation()
        planned = self._sampler.plan(generation) is not None
        trial = self._sampler.new_trial(self._study, self._on.optuna_storage, generation)
        if not planned:
            self._note_plan(generation)
        return trial

    # Taking

    def _take(self, outcome: Outcome) -> None:
        """What became of a task: more images, or an end of its candidate."""
        for note in outcome.notes:
            self._observer.message(note)
        candidate = self._queue.take(outcome)
        if candidate is None:
            return
        if candidate.failure is not None:
            self._give_up(candidate, candidate.failure)
            return
        evaluation = candidate.evaluation(self._metric)
        if candidate.parts:
            prediction = candidate.prediction(self._on.scale)
            expected = self._stopping.expected(candidate.anchors, candidate.cost, evaluation.scores, prediction)
            if expected is None:
                self._queue.submit(candidate, self._queue.idle)
                return
            evaluation = candidate.evaluation(self._metric, expected)
        self._failures = 0
        with uninterrupted():
            self._queue.candidates.remove(candidate)
            latency_ms = self._on.cost.latency_ms(candidate.cost)
            self._finish(candidate, candidate.record(evaluation, self._metric, latency_ms))

    def _give_up(self, candidate: Candidate, failure: Failure) -> None:
        tries = f" {candidate.tries} times" if candidate.tries > 1 else ""
        self._observer.message(f"Trial {candidate.trial.number} failed{tries}: {failure.message}")
        with uninterrupted():
            self._queue.candidates.remove(candidate)
            candidate.fail(failure)
        self._failures += 1
        if self._failures >= _FAILURES:
            raise RewardError(
                f"{self._failures} candidates in a row could not be scored (see the messages above); the search "
                "stopped, with everything evaluated before kept. Mend the reward or the model, then run the same "
                "command."
            )

    def _finish(self, candidate: Candidate, record: EvaluationRecord) -> None:
        """Keep what was found, then tell Optuna."""
        begin = time.perf_counter()
        generation, cost = candidate.generation, candidate.cost
        # Of a stopped one nobody knows.
        feasible = not record.complete or self._on.bounds.met(record.scores)
        record = replace(record, trial=candidate.trial.number, feasible=feasible)
        self._on.store.save_evaluation(self._on.name, record)
        share = self._stopping.tell(generation, cost, record.scores[self._metric], feasible=feasible)
        candidate.tell(record, share, self._on.bounds, self._on.scale.full_cost)
        paid = budget_share(candidate.frozen, share)
        self._progress.add(generation, record.reward, cost, share=paid, whole=record.complete, feasible=feasible)
        self._progress.tick()
        # Candidates of this generation that are late are in the next backup.
        if (
            self._generations.close(generation, self._seeds_left, time.perf_counter() - begin)
            and not any(late.generation == generation for late in self._queue.candidates)
            and (note := self._after_generation(generation))
        ):
            self._observer.message(note)
        self._tell_status("evaluating")

    def _note_plan(self, generation: int) -> None:
        if note := self._generations.planned(generation):
            self._observer.message(note)

    def _tell_status(self, text: str) -> SearchStatus:
        status = self._generations.status(text)
        self._observer.update(status)
        return status
