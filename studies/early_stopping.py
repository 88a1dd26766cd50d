"""Stopping the evaluation of a candidate when its remaining images would be better spent on another one.

All candidates start from the same noise and are judged on the same prompts. The images that tell most of the mean of
all are made first (see :func:`~surrogate.find_anchors`); where what they say promises too little, the others are not
made.
"""

from __future__ import annotations

from collections import deque
from math import prod

import numpy as np
from numpy.typing import NDArray

from studies import attributes
from studies.prepared import PreparedStudy
from studies.trials import evaluated_trials, values_of
from surrogate import (
    Anchors,
    GrowingFront,
    LogDrop,
    Prediction,
    Reference,
    expected_hypervolume_improvement,
    find_anchors,
    hypervolume,
    staircase,
)

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]

#: What the latest candidates have brought per image is what another one is worth.
_LATEST = 24
_FEWEST = 8
#: How images go together is learned from so many whole evaluations at most, the latest: they are nearest to the front.
_MOST_WHOLE = 300
#: Where order does not matter, a race looks for anchors anew when whole evaluations have become so much more.
_PATIENCE = 0.05


class Race:
    """What a study's candidates have brought so far, image for image, and whether one is worth its remaining images.

    Args:
        uncached: ``(prompts, seeds)`` scores of the uncached run.
        reference: of the hypervolume.
        least: how much a candidate's expected gain of hypervolume for each remaining image must be, as a share of what
            the latest candidates have brought for each of theirs; 0 stops none.
        patience: by which share the whole evaluations must have grown before anchors are sought anew; 0 seeks them
            after each. What is found then depends on when it was asked for.
    """

    def __init__(self, uncached: Floats, reference: Reference, least: float, patience: float = 0.0) -> None:
        self._uncached = uncached.ravel()
        self._reference, self._least = reference, least
        mean = float(uncached.mean())
        self._scale = LogDrop(mean, max(mean - reference.reward, 0.0))
        self._front = GrowingFront()
        self._drops: deque[Floats] = deque(maxlen=_MOST_WHOLE)
        self._gains: deque[tuple[float, int]] = deque(maxlen=_LATEST)
        self._anchors: Anchors | None = None
        self._patience, self._whole, self._sought = patience, 0, 0
        self._volume = 0.0

    def add(self, cost: float, scores: Floats, *, bred: bool, feasible: bool = True) -> None:
        """Note an evaluated candidate.

        Args:
            cost: of the candidate.
            scores: ``(prompts, seeds)``; NaN for images that were not made.
            bred: whether it counts for what candidates bring: seeds bring much more.
            feasible: whether it may enter the front.
        """
        before = self._volume
        made = int(np.isfinite(scores).sum())
        if made == scores.size:
            self._note_drops(self._uncached - scores.ravel())
        if made == scores.size and feasible and self._front.add(float(scores.mean()), cost):
            # In the unit of what is expected of candidates: the logarithm of the drop.
            *gained, worst = -self._scale.of(np.array([*self._front.rewards, self._reference.reward]))
            self._volume = hypervolume(gained, self._front.costs, Reference(worst, self._reference.cost))
        if bred:
            self._gains.append((self._volume - before, made))

    def _note_drops(self, drops: Floats) -> None:
        # A drop beyond the range of interest is another matter: such schedules spoil all images.
        if drops.mean() < 2 * self._scale.unit:
            self._drops.append(drops)
            self._whole += 1
        if self._whole - self._sought >= self._patience * self._whole:
            self._anchors = None

    def anchors(self) -> Anchors | None:
        """The images to make first, as whole evaluations so far tell; None where no race can be held yet."""
        if self._anchors is None:
            self._sought = self._whole
            self._anchors = find_anchors(np.array(self._drops).reshape(-1, len(self._uncached)), self._scale)
        return self._anchors

    def parts(self, anchors: Anchors | None) -> list[list[int]]:
        """The numbers of the images to make first, and those of the rest; all at once where there are no anchors."""
        images = np.arange(len(self._uncached))
        if anchors is None:
            return [images.tolist()]
        return [anchors.images.tolist(), np.setdiff1d(images, anchors.images).tolist()]

    def expected(self, anchors: Anchors, scores: Floats) -> float:
        """The mean reward over all images to expect, from ``(prompts, seeds)`` scores, NaN but for the anchors."""
        return self._scale.uncached - self._told(anchors, scores)[0]

    def goes_on(self, anchors: Anchors, cost: float, scores: Floats, prediction: Prediction | None = None) -> bool:
        """Whether a candidate should get more images.

        Args:
            anchors: the images that were made first. Others may be anchors by now, where several candidates are
                evaluated at a time.
            cost: of the candidate.
            scores: ``(prompts, seeds)``, NaN but for the anchors.
            prediction: of this one candidate, before any image was made.
        """
        left = int(np.isnan(scores).sum())
        if not left or len(self._gains) < _FEWEST:
            return True
        drop, std = self._told(anchors, scores)
        mean = self._scale.of(np.array([self._scale.uncached - drop]))
        variance = np.array([std**2])
        if prediction is not None:
            # Both are guesses of the same log drop with errors of their own: they count by their precision.
            prior = prediction.loss_std**2
            mean = (mean * prior + prediction.loss * variance) / (prior + variance)
            variance = prior * variance / (prior + variance)
        front = staircase(self._front.rewards, self._front.costs, self._reference)
        told = Prediction(mean, np.sqrt(variance), self._scale)
        gain = float(expected_hypervolume_improvement(told, [cost], front)[0])
        brought, images = map(sum, zip(*self._gains, strict=True))
        return gain / left >= self._least * brought / images

    def _told(self, anchors: Anchors, scores: Floats) -> tuple[float, float]:
        """The mean drop to expect, and the standard deviation of its logarithm."""
        drops = (self._uncached - scores.ravel())[anchors.images]
        return anchors.expected_drop(drops), anchors.error


class EarlyStopping:
    """A race that is told of candidates as they are evaluated, in whatever order.

    Args:
        race: which knows nothing yet; None makes all images of every candidate.
        uncached: ``(prompts, seeds)`` scores of the uncached run.
        at_once: whether it learns of a candidate at once. Else it learns of a generation as a whole, ordered by cost,
            before the first candidate of a later one is asked for.
    """

    def __init__(self, race: Race | None, uncached: Floats, *, at_once: bool) -> None:
        self._race = race
        self._shape = uncached.shape
        self._at_once = at_once
        self._withheld: list[tuple[int, float, Floats, bool]] = []

    def tell(self, generation: int, cost: float, scores: Scores, *, feasible: bool) -> float:
        """Note an evaluated candidate.

        Args:
            generation: of the candidate.
            cost: of the candidate.
            scores: ``(images,)``, as the store keeps them: what is decided by them must not change by resuming.
            feasible: whether it may enter the front.

        Returns:
            The share of its images that were made.
        """
        told = np.full(self._shape, np.nan)
        # Earlier versions kept the first seeds alone where not all images were made.
        found = scores.reshape(len(told), -1)
        told[:, : found.shape[1]] = found
        if self._race is not None:
            self._withheld.append((generation, cost, told, feasible))
            if self._at_once:
                self._learn(generation + 1)
        return float(np.isfinite(told).mean())

    def parts(self, generation: int) -> tuple[list[list[int]], Anchors | None]:
        """The images of a candidate of a generation, by number: those to make first, and the rest.

        Returns:
            Them, and what the first part tells of all; None where all are to be made at once.
        """
        if self._race is None:
            return [list(range(prod(self._shape)))], None
        self._learn(generation)
        anchors = self._race.anchors() if generation > 0 else None
        return self._race.parts(anchors), anchors

    def expected(
        self, anchors: Anchors | None, cost: float, scores: Floats, prediction: Prediction | None
    ) -> float | None:
        """The mean reward over all images to expect of a candidate that is to get no more; None for one that is.

        Args:
            anchors: which were made; None where all images are wanted.
            cost: of the candidate.
            scores: ``(prompts, seeds)``, NaN but for the anchors.
            prediction: of this one candidate, before any image was made.
        """
        if self._race is None or anchors is None:
            return None
        if self._race.goes_on(anchors, cost, scores, prediction):
            return None
        return self._race.expected(anchors, scores)

    def _learn(self, generation: int) -> None:
        """Of all generations before this one."""
        assert self._race is not None
        ready = [each for each in self._withheld if each[0] < generation]
        # Not by when they were made; of equal cost, by what was found.
        ready.sort(key=lambda each: (*each[:2], each[2].tobytes()))
        self._withheld = [each for each in self._withheld if each[0] >= generation]
        for of_generation, cost, scores, feasible in ready:
            self._race.add(cost, scores, bred=of_generation > 0, feasible=feasible)


def early_stopping_of(prepared: PreparedStudy, workers: int) -> EarlyStopping:
    """That of a study, told what earlier runs have evaluated, in the order in which a race learns of it.

    Args:
        prepared: the study.
        workers: how many candidates are evaluated at a time.
    """
    config, uncached = prepared.config, prepared.uncached.astype(np.float32).astype(np.float64)
    # One worker finds what several do that finish each generation first.
    at_once = config.asynchronous and workers > 1
    if not config.race:
        return EarlyStopping(None, uncached, at_once=at_once)
    race = Race(uncached, prepared.scale.reference, config.race_share, _PATIENCE if at_once else 0.0)
    stopping = EarlyStopping(race, uncached, at_once=at_once)
    records = {record.genome: record for record in prepared.store.evaluations(prepared.name)}
    for trial in evaluated_trials(prepared.study):
        if (record := records.get(trial.user_attrs[attributes.GENOME])) is not None:
            scores = record.scores[prepared.evaluator.reward.name]
            generation = prepared.sampler.generation_of(trial)
            stopping.tell(generation, values_of(trial)[1], scores, feasible=record.feasible)
    return stopping
