from __future__ import annotations

from typing import Any

import pytest

from ecad_automl.errors import StorageError
from storage import EvaluationRecord
from studies.cost import study_cost, study_front

LATENCY: dict[str, Any] = {"cost": {"objective": "latency"}}


def record(gmacs: float, reward: float, **more: Any) -> EvaluationRecord:
    return EvaluationRecord("ff", gmacs, reward, 0.0, **more)


def test_incomplete_and_infeasible_evaluations_are_not_on_the_front() -> None:
    left_out = [record(1, 9, complete=False), record(2, 9, feasible=False)]
    good = [record(5, 2), record(3, 1)]
    assert study_front([*left_out, *good], {}) == good[::-1]
    assert study_front([], {}) == []


def test_of_evaluations_with_equal_figures_the_first_is_taken() -> None:
    records = [record(1, 1, trial=7), record(1, 1, trial=3)]
    assert study_front(records, {}) == records[:1]


def test_a_study_of_latency_has_the_front_in_latency() -> None:
    slow, quick = record(1, 1, latency_ms=9.0), record(2, 1, latency_ms=3.0)
    assert study_front([slow, quick], LATENCY) == [quick]
    assert study_front([slow, quick], {}) == [slow]
    with pytest.raises(StorageError, match="no latency"):
        study_cost(LATENCY)(record(1, 1))
