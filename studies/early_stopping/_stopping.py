"""Which images of a candidate are made first, and whether it gets the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storage import EvaluationRecord
from studies.early_stopping._race import Race
from surrogate import Anchors, Forecast

if TYPE_CHECKING:
    from studies.candidates import Candidate

Floats = NDArray[np.float64]


class EarlyStopping:
    """A race that is told of candidates as they are evaluated, in whatever order.

    Args:
        race: which knows nothing yet; None makes all images of every candidate.
        metric: what is maximized.
        uncached: ``(prompts, seeds)`` scores of the uncached run.
        at_once: whether it learns of a candidate at once. Else it learns of a generation as a whole, ordered by genome,
            before the first candidate of a later one is asked for.
    """

    def __init__(self, race: Race | None, metric: str, uncached: Floats, *, at_once: bool) -> None:
        self._race = race
        self._metric = metric
        self._shape = uncached.shape
        self._at_once = at_once
        self._withheld: list[tuple[int, str, float, Floats, bool]] = []

    def tell(self, generation: int, cost: float, record: EvaluationRecord) -> float:
        """Note an evaluated candidate; the share of its images that were made."""
        scores = self._kept_scores(record)
        if self._race is not None:
            told = generation, record.genome, cost, scores, record.feasible
            self._withheld.append(told)
            if self._at_once:
                self._learn(generation + 1)
        return float(np.isfinite(scores).mean())

    def parts(self, generation: int) -> tuple[list[list[int]], Anchors | None]:
        """The images of a candidate of a generation, by number: those to make first, and the rest.

        Returns:
            Them, and what the first part tells of all; None where all are to be made at once.
        """
        every = list(range(int(np.prod(self._shape))))
        if self._race is None:
            return [every], None
        self._learn(generation)
        anchors = self._race.anchors() if generation > 0 else None
        return (self._race.parts(anchors) if anchors is not None else [every]), anchors

    def expected(self, candidate: Candidate, scores: Floats, forecast: Forecast | None) -> float | None:
        """The mean reward over all images to expect of a candidate that is to get no more; None for one that is.

        Args:
            candidate: whose anchors were made.
            scores: ``(prompts, seeds)``, NaN but for the anchors.
            forecast: of this one candidate, before any image was made.
        """
        if self._race is None or candidate.anchors is None:
            return None
        if self._race.goes_on(candidate.anchors, candidate.cost, scores, forecast):
            return None
        return self._race.expected(candidate.anchors, scores)

    def _learn(self, generation: int) -> None:
        """Of all generations before this one."""
        assert self._race is not None
        ready = sorted((each for each in self._withheld if each[0] < generation), key=lambda each: each[:2])
        self._withheld = [each for each in self._withheld if each[0] >= generation]
        for of_generation, _, cost, scores, feasible in ready:
            self._race.add(cost, scores, bred=of_generation > 0, feasible=feasible)

    def _kept_scores(self, record: EvaluationRecord) -> Floats:
        """``(prompts, seeds)`` scores of a record, NaN for images that were not made.

        As the store keeps them, in single precision: what is decided by them must not change by resuming.
        """
        kept = np.asarray(record.scores[self._metric], dtype=np.float64)
        scores = np.full(self._shape, np.nan)
        # Earlier versions kept the first seeds alone where not all images were made.
        found = kept.reshape(len(scores), -1)
        scores[:, : found.shape[1]] = found
        return scores
