"""The constraints of a study, and by what margins schedules keep them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, Trial

from ecad_automl.errors import StudyError
from ecad_automl.judging.evaluation import Evaluation
from ecad_automl.rewards import Constraint
from storage import EvaluationRecord
from studies import attributes
from studies.trials import constrained


class Bounds:
    """All constraints of one study.

    Raises:
        StudyError: the uncached run does not meet one, and nothing else is sure to.
    """

    def __init__(self, constraints: Sequence[Constraint], uncached: Evaluation) -> None:
        self._constraints = tuple(constraints)
        self._uncached = {each.metric: float(uncached.metrics[each.metric].mean()) for each in self._constraints}
        for constraint in self._constraints:
            mean = self._uncached[constraint.metric]
            if constraint.slack(mean) <= 0:
                raise StudyError(
                    f"The uncached run has a mean {constraint.metric} of {mean:g}, so it leaves no room for the "
                    f"constraint {constraint}; choose a bound that it meets."
                )

    def met(self, record: EvaluationRecord) -> bool:
        """Whether a whole evaluation meets all constraints; of a stopped one nobody knows."""
        return not record.complete or all(
            constraint.slack(_mean(record, constraint.metric)) >= 0 for constraint in self._constraints
        )

    @property
    def uncached_margins(self) -> list[float]:
        """By how much the uncached run meets each constraint."""
        return [constraint.slack(self._uncached[constraint.metric]) for constraint in self._constraints]

    def margins(self, trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
        """``(n, constraints)``: by how much evaluated candidates meet each, below 0 if they do not; NaN if stopped."""
        rows = [[each.slack(constrained(trial, each.metric)) for each in self._constraints] for trial in trials]
        return np.array(rows, dtype=np.float64).reshape(len(trials), len(self._constraints))

    def write(self, trial: Trial, record: EvaluationRecord) -> None:
        """Put into a trial what a whole evaluation measured, as Optuna and as people read it."""
        if not record.complete or not self._constraints:
            return
        for constraint in self._constraints:
            trial.set_constraint(str(constraint), -constraint.slack(_mean(record, constraint.metric)))
        means = {constraint.metric: _mean(record, constraint.metric) for constraint in self._constraints}
        trial.set_user_attr(attributes.CONSTRAINED, means)
        trial.set_user_attr(attributes.FEASIBLE, record.feasible)


def _mean(record: EvaluationRecord, metric: str) -> float:
    return float(record.scores[metric].mean(dtype=np.float64))
