from __future__ import annotations

from typing import Any

import pytest

from ecad_automl.api.stored import StoredStudy
from ecad_automl.errors import StudyError
from storage import EvaluationRecord


def study_of(*trials: int | None) -> StoredStudy:
    records = [EvaluationRecord(f"{i:02x}", 1.0, 1.0, 0.0, trial=trial) for i, trial in enumerate(trials)]
    anything: Any = None
    return StoredStudy("s", {}, anything, records, {}, [])


def test_a_trial_is_found_by_its_number() -> None:
    study = study_of(None, 4, 9)
    assert study.trial(4) is study.evaluations[1]
    with pytest.raises(StudyError, match="no evaluated trial 5; the trials go from 4 to 9"):
        study.trial(5)
    with pytest.raises(StudyError, match="no trials yet"):
        study_of(None).trial(5)
