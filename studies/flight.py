"""A candidate on its way: asked of Optuna, being evaluated, not yet told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, Trial

from ecad_automl.execution import Outcome
from ecad_automl.judging.evaluation import Evaluation, judged
from ecad_automl.judging.statistics import MeanDifference
from ecad_automl.schedules.schedule import Schedule
from surrogate import Anchors

__all__ = ["Flight", "divided"]

Floats = NDArray[np.float64]


@dataclass(eq=False)
class Flight:
    """What is known of a candidate while its images are made.

    Args:
        trial: Optuna's handle.
        frozen: the trial as it was asked.
        schedule: the candidate.
        cost: of it.
        generation: of it.
        uncached: ``(prompts, seeds)`` rewards of the uncached run.
        parts: numbers of the images that are not asked for yet, in the order in which to make them; in a race the
            anchors come first.
        anchors: what the first part tells of all images; None where there is no race.
        scores: ``(prompts * seeds,)`` by metric, NaN for images that were not made.
        out: tasks that are not done yet, by number.
        tries: times that one of its tasks has failed.
        seconds: wall time of all its tasks.
        failed: whether it was given up; what still comes of it is for nothing.
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
    out: set[int] = field(default_factory=set)
    tries: int = 0
    seconds: float = 0.0
    failed: bool = False

    def take(self, outcome: Outcome) -> None:
        """Note the scores of a task that is done."""
        self.out.discard(outcome.task.number)
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
        return Evaluation(found.scores, difference, found.seconds, expected, found.others)


def divided(images: Sequence[int], batch: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Images in at most so many parts, each of whole batches, so that their scores are the same bit for bit.

    Args:
        images: numbers of images.
        batch: images per pipeline call.
        parts: how many workers could take one.
    """
    batches = [tuple(images[start : start + batch]) for start in range(0, len(images), batch)]
    for part in np.array_split(np.arange(len(batches)), min(parts, len(batches))):
        yield tuple(image for index in part for image in batches[index])
