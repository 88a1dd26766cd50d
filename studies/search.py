"""The search: calibrate, seed, then breed, prefilter and evaluate until the budget is spent."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.errors import EvaluationError, RewardError, StudyError
from ecad_automl.evaluation import Evaluation, Evaluator
from ecad_automl.layout import Layout
from ecad_automl.rewards import Constraint
from ecad_automl.schedule import Schedule
from ecad_automl.statistics import MeanDifference
from storage import EvaluationRecord, GenerationRecord, Store
from studies import attributes
from studies.calibration import Calibration, calibrate, evaluation_record
from studies.config import SearchConfig
from studies.cost import LATENCY_MS, Cost, mac_cost
from studies.initial import Initial
from studies.interrupt import uninterrupted
from studies.operators import operator_odds
from studies.proposer import Evaluated, Plan, Room, propose
from studies.quality import Scale
from studies.racing import Race
from studies.sampler import ScheduleNSGAIISampler, descriptor_space
from studies.seeds import first_schedules, harm_of
from studies.status import SPEEDUPS, SearchObserver, SearchStatus, SilentObserver
from studies.study import enqueue_seeds, open_study, release, release_stale
from studies.trials import (
    EVALUATED,
    constrained,
    evaluated_trials,
    image_share,
    is_feasible,
    schedule_of,
    values_of,
)
from studies.trust import Trust, forecast_of, measure_trust
from surrogate import DropForecast, FeatureContext, hypervolume_gain, staircase

__all__ = ["Search"]

#: Candidates that may fail one after another before the search gives up.
_FAILURES = 3


class Search:
    """One study, from its first evaluation to its last, over any number of runs of this class.

    Every evaluation is in the store before Optuna is told, so a crash between the two costs nothing; candidates that
    were being evaluated are proposed again. The random stream of a generation depends on the seed and the number of
    the generation alone, and what it learns from on a set of evaluations, not on when they were made: an interrupted
    and resumed study proposes what an uninterrupted one would have.

    Args:
        evaluator: generates and scores.
        layout: the slots of the evaluator's transformer, with MACs.
        store: our tables.
        optuna_storage: Optuna's, in the same file.
        name: of the study.
        identity: what its results depend on.
        config: the settings.
        cost: what is minimized; MACs if None.
        constraints: what schedules must meet to be on the front; the evaluator measures their metrics.
        observer: is told of progress.
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
        self._constraints = tuple(constraints)
        self._observer = observer or SilentObserver()
        self._seconds: list[float] = []
        self._trust = Trust()
        self._race: Race | None = None
        self._calibration: Calibration | None = None
        self._initial = Initial()

    def run(self) -> SearchStatus:
        """Search until the study holds the images of as many whole evaluations as the budget says.

        Raises:
            StudyError: the study's name belongs to another study, or no new candidates can be bred.
            RewardError: candidate after candidate got no usable score.
            StorageError: the file cannot be written.
        """
        self._store.claim_study(self._name, self._identity)
        sampler = ScheduleNSGAIISampler(
            self._layout, self._steps, batch=self._config.batch, parents=self._config.parents, propose=self._propose
        )
        self._study = open_study(self._optuna_storage, self._name, sampler, self._cost.name)
        self._sampler = sampler
        if left := release_stale(self._study):
            self._observer.message(
                f"{left} evaluation{'s' * (left > 1)} that an earlier run left unfinished will be repeated."
            )
        status = self._tell_status("uncached run")
        calibration = calibrate(
            self._evaluator, self._layout, self._store, self._name, self._cost, progress=self._tell_status
        )
        self._calibration = calibration
        self._check_constraints()
        self._initial = Initial.load(self._store, self._name, self._layout, self._steps)
        self._study.set_user_attr(attributes.SOURCES, list(self._initial.sources))
        if self._config.race:
            self._race = self._race_so_far(calibration.scale)
        enqueue_seeds(
            self._study,
            first_schedules(self._layout, calibration.drift, self._config, self._cost, self._initial.seeds),
        )
        failures = 0
        while status.images < self._config.evaluations:
            after = self._one()
            failures, status = (failures + 1, status) if after is None else (0, after)
            if failures >= _FAILURES:
                raise RewardError(
                    f"{failures} candidates in a row could not be scored (see the messages above); the search stopped, "
                    "with everything evaluated before kept. Mend the reward or the model, then run the same command."
                )
        return self._tell_status("done")

    def _one(self) -> SearchStatus | None:
        """Evaluate one candidate; None where it could not be scored.

        Ctrl-C takes effect while images are made, which is nearly always, and is held back while records are written.
        """
        begin = time.perf_counter()
        with uninterrupted():
            trial = self._study.ask(descriptor_space(self._layout, self._steps))
            frozen = self._optuna_storage.get_trial(trial._trial_id)
            schedule = schedule_of(frozen, self._layout, self._steps)
            record = self._store.evaluation(self._name, schedule.to_hex())
            bred = self._generation(frozen) > 0
        asked = time.perf_counter()
        try:
            evaluation = None if record is not None else self._evaluate(schedule, frozen)
        except (RewardError, EvaluationError) as error:
            self._observer.message(f"Trial {trial.number} failed: {error}")
            with uninterrupted():
                self._study.tell(trial, state=TrialState.FAIL)
            return None
        except BaseException:
            # Ctrl-C among others: the candidate is asked again by the next run.
            with uninterrupted():
                release(self._study, frozen)
            raise
        evaluated = time.perf_counter()
        with uninterrupted():
            if evaluation is not None:
                origin = str(frozen.user_attrs[attributes.ORIGIN])
                metric = self._evaluator.reward.name
                record = evaluation_record(origin, schedule, evaluation, metric, self._cost, trial.number)
            assert record is not None
            # One that was found stored is of the calibration, or of a run that was killed before it could tell.
            record = replace(record, trial=trial.number, feasible=self._feasible(record))
            self._store.save_evaluation(self._name, record)
            if self._race is not None:
                cost = float(self._cost.of([schedule])[0])
                self._race.add(cost, self._scores(record), bred=bred, feasible=record.feasible)
            self._tell(trial, frozen, schedule, record)
            told = time.perf_counter()
            self._seconds.append(told - begin)
            trials = self._study.get_trials(deepcopy=False)
            status = self._status("evaluating", trials)
            self._close_generation(frozen, trials, status, overhead=told - begin - (evaluated - asked))
        self._observer.update(status)
        return status

    def _tell(self, trial: Trial, frozen: FrozenTrial, schedule: Schedule, record: EvaluationRecord) -> None:
        # Optuna takes no attributes after tell.
        values = [record.reward, float(self._cost.of([schedule])[0])]
        if not record.complete:
            share = float(np.isfinite(self._scores(record)).mean())
            trial.set_user_attr(attributes.EXPECTED_VALUES, values)
            trial.set_user_attr(attributes.IMAGE_SHARE, share)
        trial.set_user_attr(attributes.GENERATION, self._generation(frozen))
        predicted = frozen.user_attrs.get(attributes.PREDICTED_REWARD)
        if record.complete and predicted is not None:
            trial.set_user_attr(attributes.PREDICTION_ERROR, round(record.reward - predicted, 6))
        trial.set_user_attr(attributes.SPEEDUP, round(schedule.mac_speedup, 4))
        trial.set_user_attr(attributes.MAC_FRACTION, round(schedule.mac_fraction, 6))
        trial.set_user_attr(attributes.DIFFERENCE, -record.reward_drop)
        trial.set_user_attr(attributes.DIFFERENCE_ERROR, record.reward_drop_se)
        trial.set_user_attr(attributes.SECONDS, round(record.seconds, 3))
        if self._cost.name == LATENCY_MS:
            trial.set_user_attr(attributes.LATENCY_SPEEDUP, round(self._cost.of_steps(self._steps) / values[1], 4))
        if record.complete and self._constraints:
            for constraint in self._constraints:
                trial.set_constraint(str(constraint), -constraint.room(_mean(record, constraint.metric)))
            means = {constraint.metric: _mean(record, constraint.metric) for constraint in self._constraints}
            trial.set_user_attr(attributes.CONSTRAINED, means)
            trial.set_user_attr(attributes.FEASIBLE, record.feasible)
        if record.complete:
            self._study.tell(trial, values)
        else:
            self._study.tell(trial, state=TrialState.PRUNED)

    def _feasible(self, record: EvaluationRecord) -> bool:
        """Whether a whole evaluation meets all constraints; of a stopped one nobody knows."""
        return not record.complete or all(
            constraint.room(_mean(record, constraint.metric)) >= 0 for constraint in self._constraints
        )

    def _check_constraints(self) -> None:
        """The uncached run must meet them, for nothing else is sure to.

        Raises:
            StudyError: it does not.
        """
        baseline = self._evaluator.baseline()
        for constraint in self._constraints:
            mean = float(baseline.others[constraint.metric].mean())
            if constraint.room(mean) <= 0:
                raise StudyError(
                    f"The uncached run has a mean {constraint.metric} of {mean:g}, so it leaves no room for the "
                    f"constraint {constraint}; choose a bound that it meets."
                )

    def _evaluate(self, schedule: Schedule, trial: FrozenTrial) -> Evaluation:
        """Whole, or until the candidate is not worth more images."""
        if self._race is None or self._generation(trial) == 0:
            return self._evaluator.evaluate(schedule)
        parts = self._race.parts()
        if len(parts) == 1:
            return self._evaluator.evaluate(schedule)
        cost = float(self._cost.of([schedule])[0])
        for evaluation in self._evaluator.evaluate_parts(schedule, parts):
            if not self._race.goes_on(cost, evaluation.scores, self._forecast(trial)):
                return self._stopped(evaluation, self._race.expected(evaluation.scores))
        return evaluation

    def _stopped(self, evaluation: Evaluation, expected: float) -> Evaluation:
        """With what is to be expected of all images in place of what its own are like, which are no fair sample."""
        assert self._calibration is not None
        difference = MeanDifference(expected - self._calibration.scale.uncached_reward, math.nan)
        return replace(evaluation, expected=expected, difference=difference)

    def _forecast(self, trial: FrozenTrial) -> DropForecast | None:
        """What the surrogate had foretold of a candidate, if anything."""
        assert self._calibration is not None
        if attributes.PREDICTED_REWARD not in trial.user_attrs:
            return None
        return forecast_of([trial], self._calibration.scale)

    def _race_so_far(self, scale: Scale) -> Race:
        """What earlier runs of this study have evaluated, in the order in which they did."""
        uncached = self._evaluator.baseline().scores.astype(np.float32).astype(np.float64)
        race = Race(uncached, scale.reference, self._config.race)
        for trial in evaluated_trials(self._study):
            record = self._store.evaluation(self._name, trial.user_attrs[attributes.GENOME])
            if record is not None:
                bred = self._generation(trial) > 0
                race.add(values_of(trial)[1], self._scores(record), bred=bred, feasible=is_feasible(trial))
        return race

    def _scores(self, record: EvaluationRecord) -> NDArray[np.float64]:
        """``(prompts, seeds)``, as the store keeps them: what is decided by them must not change by resuming."""
        kept = np.asarray(record.scores[self._evaluator.reward.name], dtype=np.float64)
        scores = np.full((len(self._evaluator.prompts), len(self._evaluator.seeds)), np.nan)
        # Earlier versions kept the first seeds alone where not all images were made.
        found = kept.reshape(len(scores), -1)
        scores[:, : found.shape[1]] = found
        return scores

    def _propose(self, generation: int, elite: Sequence[FrozenTrial]) -> Plan:
        """The candidates of a generation, from all that earlier generations evaluated."""
        earlier = [trial for trial in evaluated_trials(self._study) if self._generation(trial) < generation]
        earlier.sort(key=lambda trial: (self._generation(trial), str(trial.user_attrs[attributes.GENOME])))
        values = np.array([values_of(trial) for trial in earlier])
        evaluated = Evaluated(
            tuple(schedule_of(trial, self._layout, self._steps) for trial in earlier),
            values[:, 0],
            values[:, 1],
            np.array([image_share(trial) for trial in earlier]),
            np.array([is_feasible(trial) for trial in earlier]),
            self._rooms(earlier),
        )
        assert self._calibration is not None
        self._trust = measure_trust(earlier, self._config.trust, self._calibration.scale)
        if self._trust.doubted:
            self._observer.message(
                f"Generation {generation} goes without the surrogate: its rank correlation at equal cost is "
                f"{self._trust.rank_correlation:.2f}, below {self._config.trust:.2f} by more than chance."
            )
        parents = sorted((schedule_of(trial, self._layout, self._steps) for trial in elite), key=Schedule.to_hex)
        return propose(
            self._layout,
            FeatureContext(
                self._layout.block_index,
                self._layout.component_index,
                self._layout.slot_macs,
                harm_of(self._calibration.drift, self._config),
            ),
            evaluated,
            parents,
            self._config,
            self._cost,
            self._calibration.scale,
            np.random.default_rng([self._config.seed, generation]),
            trusted=not self._trust.doubted,
            stretch=self._trust.stretch,
            prior=self._initial.prior,
            odds=operator_odds(self._gains(earlier)) if self._config.adaptive else None,
        )

    def _rooms(self, earlier: Sequence[FrozenTrial]) -> list[Room]:
        """What each constraint left to evaluated candidates."""
        baseline = self._evaluator.baseline()
        return [
            Room(
                np.array([constraint.room(constrained(trial, constraint.metric)) for trial in earlier]),
                constraint.room(float(baseline.others[constraint.metric].mean())),
            )
            for constraint in self._constraints
        ]

    def _gains(self, earlier: Sequence[FrozenTrial]) -> Iterator[tuple[str, float]]:
        """Of each bred trial its operators and the hypervolume that it added to the front of earlier generations."""
        assert self._calibration is not None
        reference = self._calibration.scale.reference
        rewards: list[float] = []
        costs: list[float] = []
        for generation, group in groupby(earlier, key=self._generation):
            trials = list(group)
            values = np.array([values_of(trial) for trial in trials])
            whole = np.array([trial.state is TrialState.COMPLETE and is_feasible(trial) for trial in trials])
            if generation:
                gains = hypervolume_gain(values[:, 0], values[:, 1], staircase(rewards, costs, reference)) * whole
                for trial, gain in zip(trials, gains, strict=True):
                    yield str(trial.user_attrs[attributes.OPERATOR]), float(gain)
            rewards += values[whole, 0].tolist()
            costs += values[whole, 1].tolist()

    def _close_generation(
        self, trial: FrozenTrial, trials: Sequence[FrozenTrial], status: SearchStatus, overhead: float
    ) -> None:
        """After the last trial of a generation, store its figures."""
        generation = self._generation(trial)
        if generation == 0:
            open_still = any(other.state is TrialState.WAITING for other in trials)
        else:
            mine = [t for t in trials if t.state in EVALUATED and self._generation(t) == generation]
            open_still = len(mine) < self._config.batch
        if open_still:
            return
        plan = self._sampler.plan(generation)
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

    def _generation(self, trial: FrozenTrial) -> int:
        return int(trial.system_attrs.get(self._sampler._get_generation_key(), 0))

    def _tell_status(self, text: str) -> SearchStatus:
        with uninterrupted():
            status = self._status(text, self._study.get_trials(deepcopy=False))
        self._observer.update(status)
        return status

    def _status(self, text: str, all_trials: Sequence[FrozenTrial]) -> SearchStatus:
        evaluated = [trial for trial in all_trials if trial.state in EVALUATED]
        trials = [trial for trial in evaluated if trial.state is TrialState.COMPLETE]
        images = sum(map(image_share, evaluated))
        hypervolume, best = None, {}
        usable = [trial for trial in trials if is_feasible(trial)]
        if usable and self._calibration is not None:
            scale = self._calibration.scale
            hypervolume = scale.hypervolume([t.values[0] for t in usable], [t.values[1] for t in usable])
            for speedup in SPEEDUPS:
                rewards = [t.values[0] for t in usable if round(scale.full_cost / t.values[1], 4) >= speedup]
                best[speedup] = max(rewards) - scale.uncached_reward if rewards else None
        left = None
        if self._seconds:
            per_image = sum(self._seconds[-20:]) / sum(map(image_share, evaluated[-len(self._seconds[-20:]) :]))
            left = per_image * (self._config.evaluations - images)
        return SearchStatus(
            evaluations=len(evaluated),
            budget=self._config.evaluations,
            generation=max((self._generation(t) for t in evaluated), default=0),
            stopped=len(evaluated) - len(trials),
            images=images,
            hypervolume=hypervolume,
            best=best,
            rank_correlation=self._trust.rank_correlation,
            coverage=self._trust.coverage,
            seconds_left=left,
            text=text,
        )


def _mean(record: EvaluationRecord, metric: str) -> float:
    return float(record.scores[metric].mean(dtype=np.float64))
