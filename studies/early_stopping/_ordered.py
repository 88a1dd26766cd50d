"""What a race learns, and when: at once, or with whole generations where the order of results must not matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage import EvaluationRecord
from studies.early_stopping._race import Race

__all__ = ["OrderedRace", "kept_scores"]

Floats = NDArray[np.float64]


class OrderedRace:
    """A race that is told of candidates as they are evaluated, in whatever order.

    Args:
        race: which knows nothing yet.
        at_once: whether it learns of a candidate at once. Else it learns of a generation as a whole, ordered by genome,
            before the first candidate of a later one is asked for.
    """

    def __init__(self, race: Race, *, at_once: bool) -> None:
        self.race = race
        self._at_once = at_once
        self._withheld: list[tuple[int, str, float, Floats, bool]] = []

    def tell(self, generation: int, genome: str, cost: float, scores: Floats, *, feasible: bool) -> None:
        """Note an evaluated candidate.

        Args:
            generation: of the candidate; those of generation 0 are seeds.
            genome: of the candidate.
            cost: of the candidate.
            scores: ``(prompts, seeds)``; NaN for images that were not made.
            feasible: whether it may enter the front.
        """
        if self._at_once:
            self.race.add(cost, scores, bred=generation > 0, feasible=feasible)
        else:
            self._withheld.append((generation, genome, cost, scores, feasible))

    def before(self, generation: int) -> Race:
        """The race for a candidate of a generation: it knows all earlier ones."""
        ready = sorted((each for each in self._withheld if each[0] < generation), key=lambda each: each[:2])
        self._withheld = [each for each in self._withheld if each[0] >= generation]
        for of_generation, _, cost, scores, feasible in ready:
            self.race.add(cost, scores, bred=of_generation > 0, feasible=feasible)
        return self.race


def kept_scores(record: EvaluationRecord, metric: str, shape: tuple[int, ...]) -> Floats:
    """``shape`` scores of a record, NaN for images that were not made.

    As the store keeps them, in single precision: what is decided by them must not change by resuming.

    Args:
        record: of an evaluation.
        metric: whose scores.
        shape: ``(prompts, seeds)``.
    """
    kept = np.asarray(record.scores[metric], dtype=np.float64)
    scores = np.full(shape, np.nan)
    # Earlier versions kept the first seeds alone where not all images were made.
    found = kept.reshape(len(scores), -1)
    scores[:, : found.shape[1]] = found
    return scores
