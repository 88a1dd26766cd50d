"""Candidates on their way: asked of Optuna, being evaluated, told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from ecad_automl.execution import Executor, Failure, Outcome, Task
from ecad_automl.judging.evaluation import Evaluation, judged
from ecad_automl.judging.statistics import MeanDifference
from ecad_automl.schedules.fitted import write_fitted
from ecad_automl.schedules.schedule import Schedule
from storage import EvaluationRecord
from studies import attributes
from studies.bounds import Bounds
from studies.quality import Scale
from studies.schedule_space import prediction_of
from surrogate import Anchors, Prediction

Floats = NDArray[np.float64]

#: Times that one candidate is tried.
_TRIES = 3


@dataclass(eq=False)
class Candidate:
    """What is known of a candidate while its images are made.

    Args:
        trial: Optuna's handle.
        frozen: the trial as it was asked.
        schedule: the candidate.
        cost: of it.
        generation: of it.
        uncached: ``(prompts, seeds)`` rewards of the uncached run.
        parts: numbers of the images that are not asked for yet, in the order in which to make them; where it may be
            stopped early the anchors come first.
        anchors: what the first part tells of all images; None where all are made at once.
        scores: ``(prompts * seeds,)`` by metric, NaN for images that were not made.
        tasks: that are not done yet, by number.
        tries: times that one of its tasks has failed.
        seconds: wall time of all its tasks.
        failure: why it was given up; what still comes of it is for nothing.
        steps: of the uncached run that it is compared with; its own if 0.
        fits: whether coefficients are fitted for it.
        fitted: these coefficients, as the store keeps them; empty until then.
    """

    trial: Trial
    frozen: FrozenTrial
    schedule: Schedule
    cost: float
    generation: int
    uncached: Floats
    parts: list[list[int]]
    anchors: Anchors | None = None
    scores: dict[str, Floats] = field(default_factory=dict)
    tasks: set[int] = field(default_factory=set)
    tries: int = 0
    seconds: float = 0.0
    failure: Failure | None = None
    steps: int = 0
    fits: bool = False
    fitted: str = ""

    @property
    def genome(self) -> str:
        """The text form of the schedule, as the sampler wrote it."""
        return str(self.frozen.user_attrs[attributes.GENOME])

    def take(self, outcome: Outcome) -> None:
        """Note the scores of a task that is done."""
        self.tasks.discard(outcome.task.number)
        if outcome.task.fit and not self.fitted and outcome.schedule is not None and outcome.failure is None:
            self.schedule = outcome.schedule  # its other images are made under the same
            self.fitted = write_fitted(self.schedule.fitted)
        self.seconds += outcome.seconds
        for name, values in outcome.scores.items():
            of_metric = self.scores.setdefault(name, np.full(self.uncached.size, np.nan))
            of_metric[list(outcome.task.images)] = values

    def evaluation(self, reward: str, expected: float | None = None) -> Evaluation:
        """What its scores say of it.

        Args:
            reward: name of the metric that is maximized.
            expected: mean reward over all images to expect, where it was stopped: the images that were made are no
                fair sample.
        """
        by_prompt = {name: values.reshape(self.uncached.shape) for name, values in self.scores.items()}
        found = judged(by_prompt.pop(reward), self.uncached, self.seconds, by_prompt)
        if expected is None:
            return found
        difference = MeanDifference(expected - float(self.uncached.mean()), math.nan)
        return Evaluation(found.scores, difference, found.seconds, expected, found.metrics)

    def prediction(self, scale: Scale) -> Prediction | None:
        """What the surrogate had predicted of it, if anything."""
        if attributes.PREDICTED_REWARD not in self.frozen.user_attrs:
            return None
        return prediction_of([self.frozen], scale)

    def record(self, evaluation: Evaluation, metric: str, latency_ms: float | None) -> EvaluationRecord:
        """What the store keeps of its evaluation."""
        origin = str(self.frozen.user_attrs[attributes.ORIGIN])
        found = evaluation_record(self.genome, origin, self.schedule, evaluation, metric, latency_ms)
        return replace(found, fitted=self.fitted)

    def fail(self, failure: Failure) -> None:
        """Note in the trial why there is no score, then tell Optuna."""
        self.trial.set_user_attr(attributes.FAILURE, failure.traceback or failure.message)
        self.trial.study.tell(self.trial, state=TrialState.FAIL)

    def tell(self, record: EvaluationRecord, share: float, bounds: Bounds, full_cost: float) -> None:
        """Write what was found into the trial, then tell Optuna, which takes no attributes after that."""
        trial = self.trial
        if attributes.GENERATION not in self.frozen.user_attrs:  # a seed
            trial.set_user_attr(attributes.GENERATION, self.generation)
            fraction = self.schedule.mac_fraction_of(self.steps or self.schedule.steps)
            trial.set_user_attr(attributes.SPEEDUP, round(1 / fraction, 4))
            trial.set_user_attr(attributes.MAC_FRACTION, round(fraction, 6))
        values = [record.reward, self.cost]
        if not record.complete:
            trial.set_user_attr(attributes.EXPECTED_VALUES, values)
            trial.set_user_attr(attributes.IMAGE_SHARE, share)
        predicted = self.frozen.user_attrs.get(attributes.PREDICTED_REWARD)
        if record.complete and predicted is not None:
            trial.set_user_attr(attributes.PREDICTION_ERROR, round(record.reward - predicted, 6))
        trial.set_user_attr(attributes.DIFFERENCE, -record.reward_drop)
        trial.set_user_attr(attributes.DIFFERENCE_ERROR, record.reward_drop_se)
        trial.set_user_attr(attributes.SECONDS, round(record.seconds, 3))
        if record.latency_ms is not None:
            trial.set_user_attr(attributes.LATENCY_SPEEDUP, round(full_cost / self.cost, 4))
        if not record.complete:
            trial.study.tell(trial, state=TrialState.PRUNED)
            return
        bounds.write(trial, record.scores)
        trial.study.tell(trial, values)


class CandidateQueue:
    """The candidates that an executor makes images of."""

    def __init__(self, executor: Executor, batch: int) -> None:
        self._executor = executor
        self._batch = batch
        self._numbers = count()
        self._by_task: dict[int, Candidate] = {}
        self.candidates: list[Candidate] = []

    @property
    def workers(self) -> int:
        """How many tasks are done at a time."""
        return self._executor.workers

    @property
    def idle(self) -> int:
        """Workers that have nothing to do."""
        return self.workers - len(self._by_task)

    @property
    def waits_for_nothing(self) -> bool:
        """Whether no task is being done."""
        return not self._by_task

    def submit(self, candidate: Candidate, idle: int) -> None:
        """Have the next part of a candidate's images made.

        Shared by all workers, in parts of a batch or more that whoever is free takes: so no more candidates are on
        their way than are needed to keep the workers busy, each is known the sooner, and the last is not waited for
        long. Where coefficients are to be fitted first, which each worker does for itself, by those alone that have
        nothing else to do.

        Args:
            candidate: it.
            idle: how many workers to take where each has to fit first.
        """
        workers = idle if candidate.fits and not candidate.fitted else self.workers
        for images in divided(candidate.parts.pop(0), self._batch, max(1, workers)):
            self._send(candidate, images)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """What has become of tasks, see :meth:`~ecad_automl.execution.Executor.wait`."""
        return self._executor.wait(timeout)

    def take(self, outcome: Outcome) -> Candidate | None:
        """Note what became of a task, and try it again where it failed.

        Returns:
            The candidate, where none of its tasks is left to wait for or it has failed for good.
        """
        candidate = self._by_task.pop(outcome.task.number)
        candidate.take(outcome)
        if candidate.failure is not None:
            return None
        if outcome.failure is not None:
            candidate.tries += 1
            if not outcome.failure.final and candidate.tries < _TRIES:
                self._send(candidate, outcome.task.images)
                return None
            candidate.failure = outcome.failure
            return candidate
        return None if candidate.tasks else candidate

    def _send(self, candidate: Candidate, images: tuple[int, ...]) -> None:
        task = Task(next(self._numbers), candidate.schedule, images, candidate.fits and not candidate.fitted)
        candidate.tasks.add(task.number)
        self._by_task[task.number] = candidate
        self._executor.submit(task)


def divided(images: Sequence[int], batch: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Images in at most so many parts, each of whole batches, so that their scores are the same bit for bit.

    The last batch, which may be a small one, is in a part that has one more than others.
    """
    batches = [tuple(images[start : start + batch]) for start in range(0, len(images), batch)]
    backwards = np.array_split(np.arange(len(batches))[::-1], min(parts, len(batches)))
    for part in reversed(backwards):
        yield tuple(image for index in reversed(part) for image in batches[index])


def frozen_trial(storage: BaseStorage, trial: Trial) -> FrozenTrial:
    """All that is stored of a trial that was asked for; Optuna's handle lacks what the sampler has written since."""
    study = storage.get_study_id_from_name(trial.study.study_name)
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study, trial.number))


def evaluation_record(
    genome: str, origin: str, schedule: Schedule, evaluation: Evaluation, metric: str, latency_ms: float | None
) -> EvaluationRecord:
    """What the store keeps of an evaluated schedule, of which the genome is the text form."""
    return EvaluationRecord(
        genome=genome,
        gmacs=schedule.gmacs,
        origin=origin,
        latency_ms=latency_ms,
        complete=evaluation.complete,
        **measured(evaluation, metric),
    )


def measured(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    """What both kinds of records keep of an evaluation; the scores are of the reward, and of further metrics."""
    by_name = {metric: evaluation.scores, **evaluation.metrics}
    error = float(evaluation.difference.standard_error)
    return {
        "reward": evaluation.reward,
        "reward_drop": -evaluation.difference.mean,
        "reward_drop_se": error if np.isfinite(error) else None,  # one prompt gives none
        "scores": {name: values.ravel().astype(np.float32) for name, values in by_name.items()},
        "seconds": evaluation.seconds,
    }
