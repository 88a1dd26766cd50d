"""The search: calibrate, seed, then breed, prefilter and evaluate until the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.errors import RewardError
from ecad_automl.execution import Executor, LocalExecutor, Outcome, Task, Worker
from ecad_automl.judging.evaluation import Evaluation, Evaluator
from ecad_automl.rewards import Constraint
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import EvaluationRecord, GenerationRecord, Store
from studies import attributes
from studies.bounds import Bounds
from studies.breeding import Plan
from studies.calibration import Calibration, calibrate, evaluation_record
from studies.config import SearchConfig
from studies.cost import Cost, mac_cost
from studies.early_stopping import OrderedRace, Race, kept_scores
from studies.figures import Figures
from studies.flight import Flight, divided
from studies.interrupt import uninterrupted
from studies.late_figures import late_figures
from studies.sampler import ScheduleNSGAIISampler
from studies.schedule_space import ScheduleSpace, forecast_of
from studies.seeds import first_schedules, reuse_errors
from studies.status import SearchObserver, SearchStatus, SilentObserver
from studies.study import enqueue_seeds, frozen_trial, open_study, release, release_stale
from studies.telling import tell
from studies.trials import EVALUATED, evaluated_trials, image_share, is_feasible, values_of
from studies.warm_start import WarmStart
from surrogate import Accuracy, DropForecast

__all__ = ["Search"]

#: Candidates that may fail one after another before the search gives up.
_FAILURES = 3
#: Times that one candidate is tried.
_TRIES = 3
#: Where order does not matter, a race looks for anchors anew when whole evaluations have become so much more.
_PATIENCE = 0.05
#: Seconds between two looks at a generation that is being planned while a worker has nothing to do.
_GLANCE = 0.02


class Search:
    """One study, from its first evaluation to its last, over any number of runs of this class.

    Every evaluation is in the store before Optuna is told, so a crash between the two costs nothing; candidates that
    were being evaluated are proposed again. The random stream of a generation depends on the seed and the number of
    the generation alone, and what it learns from on a set of evaluations, not on when they were made: an interrupted
    and resumed study proposes what an uninterrupted one would have. With several workers this holds where the config
    is not asynchronous; an asynchronous search uses results as they arrive, and no worker waits for another.

    Args:
        evaluator: generates and scores what the calibration needs, and candidates too unless an executor does.
        layout: the slots of the evaluator's transformer, with MACs.
        store: our tables.
        optuna_storage: Optuna's, in the same file; nobody else may write to the study meanwhile.
        name: of the study.
        identity: what its results depend on.
        config: the settings.
        cost: what is minimized; MACs if None.
        constraints: what schedules must meet to be on the front; the evaluator measures their metrics.
        observer: is told of progress.
        executor: starts what evaluates candidates, once the calibration is done; None has the evaluator do it.
        after_generation: is called with the number of a generation whose figures are stored, as for a backup; what it
            gives is told.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        layout: Layout,
        store: Store,
        optuna_storage: BaseStorage,
        *,
        name: str,
        identity: Mapping[str, Any],
        config: SearchConfig,
        cost: Cost | None = None,
        constraints: Sequence[Constraint] = (),
        observer: SearchObserver | None = None,
        executor: Callable[[], Executor] | None = None,
        after_generation: Callable[[int], str | None] | None = None,
    ) -> None:
        self._evaluator = evaluator
        self._layout = layout
        self._steps = evaluator.settings.steps
        self._store = store
        self._optuna_storage = optuna_storage
        self._name = name
        self._identity = identity
        self._config = config
        self._cost = cost or mac_cost(layout)
        self._constraints = constraints
        self._observer = observer or SilentObserver()
        self._start_executor = executor or self._local
        self._after_generation = after_generation or (lambda _: None)
        self._accuracy = Accuracy()
        self._race: OrderedRace | None = None
        self._flights: list[Flight] = []
        self._flight_of: dict[int, Flight] = {}
        self._numbers = count()
        self._failures = 0
        self._seeds_left = 0
        self._planning: tuple[int, Future[Plan[Schedule]]] | None = None

    def run(self) -> SearchStatus:
        """Search until the study holds the images of as many whole evaluations as the budget says.

        Raises:
            StudyError: the study's name belongs to another study, or no new candidates can be bred.
            RewardError: candidate after candidate got no usable score.
            StorageError: the file cannot be written.
            EvaluationError: no worker can be had.
        """
        self._store.claim_study(self._name, self._identity)
        self._study = open_study(self._optuna_storage, self._name, self._cost.name)
        if left := release_stale(self._study):
            self._observer.message(
                f"{left} evaluation{'s' * (left > 1)} that an earlier run left unfinished will be repeated."
            )
        calibration = self._calibrate()
        enqueue_seeds(
            self._study,
            first_schedules(self._layout, calibration.drift, self._config, self._cost, self._initial.seeds),
        )
        self._seeds_left = len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
        self._store_late_figures()
        with ExitStack() as stack:
            planner = stack.enter_context(ThreadPoolExecutor(1, "planner"))
            executor = stack.enter_context(closing(self._start_executor()))
            self._race_so_far(executor.workers)
            try:
                self._evaluate_candidates(executor, planner)
            except BaseException:
                # Ctrl-C among others: these are asked again by the next run.
                with uninterrupted():
                    for flight in self._flights:
                        release(self._study, flight.frozen)
                raise
        return self._tell_status("done")

    def _local(self) -> Executor:
        return LocalExecutor(Worker(self._evaluator, self._layout, self._steps))

    def _calibrate(self) -> Calibration:
        trials = self._study.get_trials(deepcopy=False, states=EVALUATED)
        generation = max(map(self._generation, trials), default=0)
        begin = SearchStatus(len(trials), self._config.evaluations, generation, images=sum(map(image_share, trials)))

        def progress(text: str) -> None:
            self._observer.update(replace(begin, text=text))

        progress("uncached run")
        calibration = calibrate(self._evaluator, self._layout, self._store, self._name, self._cost, progress=progress)
        if calibration.drift.no_response:
            self._observer.message(
                f"All steps count alike in the drift, which seeds and surrogate go by: {calibration.drift.no_response}"
            )
        self._scale = calibration.scale
        self._uncached = self._evaluator.baseline().scores
        self._bounds = Bounds(self._constraints, self._evaluator.baseline())
        self._initial = WarmStart.load(self._store, self._name, self._layout, self._steps)
        self._study.set_user_attr(attributes.SOURCES, list(self._initial.sources))
        space = ScheduleSpace(
            self._layout,
            self._steps,
            self._cost,
            self._scale,
            reuse_errors(calibration.drift, self._config),
            prior=self._initial.prior,
            margins=self._bounds.uncached_margins,
            seed=self._config.seed,
        )
        self._sampler = ScheduleNSGAIISampler(space, self._config.breeding, self._bounds)
        self._study.sampler = self._sampler
        self._figures = Figures(self._scale, self._config.evaluations)
        for trial in trials:
            self._count(trial, *values_of(trial), whole=trial.state is TrialState.COMPLETE, share=image_share(trial))
        return calibration

    def _count(self, trial: FrozenTrial, reward: float, cost: float, *, whole: bool, share: float) -> None:
        feasible = is_feasible(trial)
        self._figures.add(self._generation(trial), reward, cost, share=share, whole=whole, feasible=feasible)

    def _race_so_far(self, workers: int) -> None:
        """What earlier runs of this study have evaluated, in the order in which a race learns of it."""
        if not self._config.race:
            return
        uncached = self._uncached.astype(np.float32).astype(np.float64)
        # One worker asks in the same order however often the search is interrupted, and is to be answered the same.
        patience = _PATIENCE if self._config.asynchronous and workers > 1 else 0.0
        race = Race(uncached, self._scale.reference, self._config.race_share, patience)
        self._race = OrderedRace(race, at_once=self._config.asynchronous)
        records = {record.genome: record for record in self._store.evaluations(self._name)}
        for trial in evaluated_trials(self._study):
            if (record := records.get(trial.user_attrs[attributes.GENOME])) is not None:
                self._tell_race(self._generation(trial), values_of(trial)[1], record, is_feasible(trial))

    def _tell_race(self, generation: int, cost: float, record: EvaluationRecord, feasible: bool) -> None:
        if self._race is not None:
            self._race.tell(generation, record.genome, cost, self._scores(record), feasible=feasible)

    def _scores(self, record: EvaluationRecord) -> NDArray[np.float64]:
        """``(prompts, seeds)``."""
        return kept_scores(record, self._evaluator.reward.name, self._uncached.shape)

    # Candidates on their way

    def _evaluate_candidates(self, executor: Executor, planner: ThreadPoolExecutor) -> None:
        self._figures.tick()
        while True:
            self._ask_for_more(executor, planner)
            if not self._flights and not self._wanted():
                return
            idle = len(self._flight_of) < executor.workers and self._planning is not None
            for outcome in executor.wait(_GLANCE if idle else None):
                self._take(executor, outcome)
            if idle and not self._flight_of and self._planning is not None:
                self._planning[1].exception()  # nothing else to wait for

    def _wanted(self) -> bool:
        """Whether the budget has room for another candidate, if all that are on their way get all their images."""
        return self._figures.images + len(self._flights) < self._config.evaluations

    def _ask_for_more(self, executor: Executor, planner: ThreadPoolExecutor) -> None:
        """Ask for candidates while workers have nothing to do, and share out what there is to make."""
        new: list[Flight] = []
        while (
            len(self._flight_of) + len(new) < executor.workers and self._wanted() and self._is_open(executor, planner)
        ):
            flight = self._ask()
            if flight is not None:
                new.append(flight)
        idle = executor.workers - len(self._flight_of)
        for index, flight in enumerate(new):
            share = idle * (index + 1) // len(new) - idle * index // len(new)
            self._submit(executor, flight, max(1, share))
        if executor.workers > 1 and self._wanted():
            self._is_open(executor, planner)  # has the next generation planned before a worker waits for it

    def _is_open(self, executor: Executor, planner: ThreadPoolExecutor) -> bool:
        """Whether another candidate can be asked for now."""
        if self._seeds_left:
            return True
        generation = self._open_generation()
        if any(flight.generation != generation for flight in self._flights):
            if not self._config.asynchronous:
                return False
            if generation == 1 and self._figures.evaluations < len(self._flights):
                return False  # half of the seeds: from fewer there is little to learn
        if executor.workers == 1 or not self._config.asynchronous or self._sampler.plan(generation) is not None:
            return True
        return self._planned_aside(generation, planner)

    def _open_generation(self) -> int:
        """What the sampler will say: the last generation until it is full, then a new one."""
        last = max([1, self._figures.generation, *(flight.generation for flight in self._flights)])
        members = self._figures.members(last) + sum(flight.generation == last for flight in self._flights)
        return last + (members >= self._config.offspring)

    def _planned_aside(self, generation: int, planner: ThreadPoolExecutor) -> bool:
        """Have another thread plan the generation, so that results are taken meanwhile; whether it is done."""
        if self._planning is None or self._planning[0] != generation:
            request = self._sampler.request(self._study, generation, self._overlapping_elite())
            self._planning = generation, planner.submit(request)
        _, future = self._planning
        if not future.done():
            return False
        self._planning = None
        self._sampler.prepare(generation, future.result())
        self._note_plan(generation)
        return True

    def _ask(self) -> Flight | None:
        """The next candidate; None where it needs no images, since the store has its scores.

        Ctrl-C takes effect while images are made, which is nearly always, and is held back while records are written.
        """
        with uninterrupted():
            trial = self._study.ask(self._sampler.distributions) if self._seeds_left else self._new_trial()
            frozen = frozen_trial(self._optuna_storage, trial)
            schedule = self._sampler.candidate(frozen)
            cost, generation = float(self._cost.of([schedule])[0]), self._generation(frozen)
            self._seeds_left -= generation == 0
            race = self._race.before(generation) if self._race is not None else None
            anchors = race.anchors() if race is not None and generation > 0 else None
            parts = [list(range(self._uncached.size))]
            if race is not None and anchors is not None:
                parts = race.parts(anchors)
            flight = Flight(trial, frozen, schedule, cost, generation, self._uncached, parts, anchors)
            record = self._store.evaluation(self._name, schedule.to_hex())
            if record is None:
                self._flights.append(flight)
                return flight
            # Of the calibration, or of a run that was killed before it could tell.
            self._finish(flight, record)
            return None

    def _new_trial(self) -> Trial:
        generation = self._open_generation()
        known = self._sampler.plan(generation) is not None
        trial = self._sampler.new_trial(self._study, self._optuna_storage, generation)
        if not known:
            self._note_plan(generation)
        return trial

    def _submit(self, executor: Executor, flight: Flight, workers: int) -> None:
        """Have the next part of a candidate's images made, by as many workers as have nothing else to do."""
        part = flight.parts.pop(0)
        for images in divided(part, self._evaluator.batch_size, workers):
            self._send(executor, flight, images)

    def _send(self, executor: Executor, flight: Flight, images: tuple[int, ...]) -> None:
        task = Task(next(self._numbers), flight.schedule.to_hex(), images)
        flight.out.add(task.number)
        self._flight_of[task.number] = flight
        executor.submit(task)

    def _take(self, executor: Executor, outcome: Outcome) -> None:
        """What became of a task: more images, another try, or an end of its candidate."""
        flight = self._flight_of.pop(outcome.task.number)
        for note in outcome.notes:
            self._observer.message(note)
        flight.take(outcome)
        if flight.failed:
            return
        if outcome.failure is not None:
            flight.tries += 1
            if outcome.failure.final or flight.tries >= _TRIES:
                self._give_up(flight, outcome.failure.message, outcome.failure.traceback)
            else:
                self._send(executor, flight, outcome.task.images)
            return
        if flight.out:
            return
        evaluation = flight.evaluation(self._evaluator.reward.name)
        if flight.parts:
            assert self._race is not None
            assert flight.anchors is not None
            race = self._race.race
            if race.goes_on(flight.anchors, flight.cost, evaluation.scores, self._forecast(flight)):
                self._submit(executor, flight, max(1, executor.workers - len(self._flight_of)))
                return
            expected = race.expected(flight.anchors, evaluation.scores)
            evaluation = flight.evaluation(self._evaluator.reward.name, expected)
        self._failures = 0
        with uninterrupted():
            self._flights.remove(flight)
            self._finish(flight, self._record(flight, evaluation))

    def _give_up(self, flight: Flight, message: str, traceback: str) -> None:
        flight.failed = True
        tries = f" {flight.tries} times" if flight.tries > 1 else ""
        self._observer.message(f"Trial {flight.trial.number} failed{tries}: {message}")
        with uninterrupted():
            self._flights.remove(flight)
            flight.trial.set_user_attr(attributes.FAILURE, traceback or message)
            self._study.tell(flight.trial, state=TrialState.FAIL)
        self._failures += 1
        if self._failures >= _FAILURES:
            raise RewardError(
                f"{self._failures} candidates in a row could not be scored (see the messages above); the search "
                "stopped, with everything evaluated before kept. Mend the reward or the model, then run the same "
                "command."
            )

    def _record(self, flight: Flight, evaluation: Evaluation) -> EvaluationRecord:
        origin = str(flight.frozen.user_attrs[attributes.ORIGIN])
        metric = self._evaluator.reward.name
        return evaluation_record(origin, flight.schedule, evaluation, metric, self._cost, flight.trial.number)

    def _finish(self, flight: Flight, record: EvaluationRecord) -> None:
        """Keep what was found, then tell Optuna."""
        begin = time.perf_counter()
        record = replace(record, trial=flight.trial.number, feasible=self._bounds.met(record))
        self._store.save_evaluation(self._name, record)
        share = 1.0 if record.complete else float(np.isfinite(self._scores(record)).mean())
        self._tell_race(flight.generation, flight.cost, record, record.feasible)
        tell(self._study, flight, record, share, self._bounds, self._cost, self._steps)
        self._figures.add(
            flight.generation,
            record.reward,
            flight.cost,
            share=share,
            whole=record.complete,
            feasible=record.feasible,
        )
        self._figures.tick()
        self._close_generation(flight.generation, time.perf_counter() - begin)
        self._tell_status("evaluating")

    def _forecast(self, flight: Flight) -> DropForecast | None:
        """What the surrogate had predicted of a candidate, if anything."""
        if attributes.PREDICTED_REWARD not in flight.frozen.user_attrs:
            return None
        return forecast_of([flight.frozen], self._scale)

    # Generations

    def _note_plan(self, generation: int) -> None:
        plan = self._sampler.plan(generation)
        assert plan is not None
        self._accuracy = plan.accuracy[0]
        if not self._accuracy.usable:
            self._observer.message(
                f"Generation {generation} goes without the surrogate: its rank correlation at equal cost is "
                f"{self._accuracy.rank_correlation:.2f}, below {self._config.trust:.2f} by more than chance."
            )

    def _overlapping_elite(self) -> list[FrozenTrial]:
        """Of all that was evaluated: where generations overlap, none of them is a whole population."""
        complete = [trial for trial in evaluated_trials(self._study) if trial.state is TrialState.COMPLETE]
        return self._sampler.select(self._study, complete)

    def _close_generation(self, generation: int, overhead: float) -> None:
        """After the last trial of a generation, store its figures."""
        if self._figures.members(generation) < self._config.offspring if generation else self._seeds_left > 0:
            return
        plan = self._sampler.plan(generation)
        status = self._status("evaluating")
        self._store.save_generation(
            self._name,
            GenerationRecord(
                generation=generation,
                evaluations=status.evaluations,
                hypervolume=status.hypervolume,
                rank_correlation=status.rank_correlation,
                coverage=status.coverage,
                surrogate_used=plan is not None and plan.surrogate_used,
                seconds={"propose": plan.seconds if plan else 0.0, "last overhead": overhead},
            ),
        )
        # Candidates of this generation that are late are in the next backup.
        if not any(flight.generation == generation for flight in self._flights) and (
            note := self._after_generation(generation)
        ):
            self._observer.message(note)

    def _store_late_figures(self) -> None:
        """Of generations that are over, where an earlier run was killed before it stored them."""
        over = range(1 if self._seeds_left else 0, self._open_generation() if self._figures.evaluations else 0)
        missing = set(over) - {record.generation for record in self._store.generations(self._name)}
        if missing:
            trials = evaluated_trials(self._study)
            for record in late_figures(
                trials, missing, self._generation, self._accuracy_before, self._config, self._scale
            ):
                self._store.save_generation(self._name, record)

    def _generation(self, trial: FrozenTrial) -> int:
        return ScheduleNSGAIISampler.generation_of(trial)

    def _accuracy_before(self, generation: int) -> Accuracy:
        past = self._sampler.past(self._study, generation)
        return self._sampler.space.accuracy(past, self._config.trust)[0]

    def _tell_status(self, text: str) -> SearchStatus:
        status = self._status(text)
        self._observer.update(status)
        return status

    def _status(self, text: str) -> SearchStatus:
        return self._figures.status(text, self._accuracy)
