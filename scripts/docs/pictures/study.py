"""A finished study of the bundled model, as the pictures need it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecad_automl import Schedule
from ecad_automl.api.stored import read_study
from ecad_automl.api.study_front import Front
from ecad_automl.errors import StudyError
from ecad_automl.schedules.drift import Drift
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView
from storage import EvaluationRecord, Store
from studies.quality import Scale, worst_of_interest

__all__ = ["Study", "load"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """All of a study.

    Args:
        stored: what inspecting commands read.
        records: its evaluations with the scores of all images.
        uncached: ``(images,)`` scores of the uncached run.
        drift: as the study measured it.
        trials: Optuna's, finished ones.
    """

    stored: StudyView
    records: list[EvaluationRecord]
    uncached: Floats
    drift: Drift
    trials: list[Any]

    @cached_property
    def scale(self) -> Scale:
        """The rewards and costs of interest."""
        shorter = [run.reward for run in self.stored.searched_shorter]
        uncached = self.stored.uncached
        return Scale(uncached.reward, worst_of_interest(uncached.reward, shorter, -np.inf), uncached.gmacs)

    @property
    def front(self) -> tuple[RunView, ...]:
        """The schedules that no other one beats, cheapest first."""
        return self.stored.front

    def chosen(self, speedup: float) -> RunView:
        """What ``export --speedup`` takes."""
        return Front(self.stored, self.stored.storage).at_speedup(speedup)

    def schedule(self, record: EvaluationRecord | RunView) -> Schedule:
        """The schedule of an evaluation."""
        return self.stored.genomes.schedule(record.genome or "")

    def whole(self) -> list[EvaluationRecord]:
        """Evaluations of all images."""
        return [record for record in self.records if record.complete]

    def image_scores(self, records: list[EvaluationRecord]) -> Floats:
        """``(records, images)``."""
        metric = str(self.stored.identity["reward"])
        return np.stack([np.asarray(record.scores[metric], dtype=np.float64) for record in records])


def load(storage: str | Path) -> Study:
    """Read the only study of a file.

    Raises:
        StudyError: it is too short to show anything.
    """
    import optuna

    stored = read_study(storage, None)
    with Store.open(storage, read_only=True) as store:
        records = store.evaluations(stored.name)
        drift = Drift.from_bytes(store.calibration(stored.name, "drift") or b"")
        scores = next(iter(store.baselines(stored.name)["uncached"].scores.values()))
        path = store.path
    if len(records) < 48:
        raise StudyError(f"The study {stored.name!r} has {len(records)} evaluations; pictures need at least 48.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = optuna.load_study(study_name=stored.name, storage=f"sqlite:///{path}").get_trials(deepcopy=False)
    done = [trial for trial in trials if trial.state.name in {"COMPLETE", "PRUNED"}]
    return Study(stored, records, np.asarray(scores, dtype=np.float64), drift, done)
