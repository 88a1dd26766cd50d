"""The constraints of a study, and by what margins schedules keep them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, Trial

from ecad_automl.errors import StudyError
from ecad_automl.judging.evaluation import Evaluation
from ecad_automl.rewards import Constraint
from storage import Scores
from studies import attributes


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

    def met(self, scores: Scores) -> bool:
        """Whether a whole evaluation meets all constraints."""
        return all(slack >= 0 for slack in self._slacks(scores).values())

    @property
    def uncached_margins(self) -> list[float]:
        """By how much the uncached run meets each constraint."""
        return [constraint.slack(self._uncached[constraint.metric]) for constraint in self._constraints]

    def margins(self, trials: Sequence[FrozenTrial]) -> NDArray[np.float64]:
        """``(n, constraints)``: by how much evaluated candidates meet each, below 0 if they do not; NaN if stopped."""
        means = [trial.user_attrs.get(attributes.CONSTRAINED, {}) for trial in trials]
        rows = [[each.slack(float(mean.get(each.metric, np.nan))) for each in self._constraints] for mean in means]
        return np.array(rows, dtype=np.float64).reshape(len(trials), len(self._constraints))

    def write(self, trial: Trial, scores: Scores) -> None:
        """Put into a trial what a whole evaluation measured, as Optuna and as people read it."""
        if not self._constraints:
            return
        for constraint, slack in self._slacks(scores).items():
            trial.set_constraint(str(constraint), -slack)
        means = {constraint.metric: _mean(scores, constraint.metric) for constraint in self._constraints}
        trial.set_user_attr(attributes.CONSTRAINED, means)
        trial.set_user_attr(attributes.FEASIBLE, self.met(scores))

    def _slacks(self, scores: Scores) -> dict[Constraint, float]:
        return {each: each.slack(_mean(scores, each.metric)) for each in self._constraints}


def _mean(scores: Scores, metric: str) -> float:
    return float(scores[metric].mean(dtype=np.float64))
