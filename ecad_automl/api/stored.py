"""Reading a study to inspect it; imports neither torch nor Optuna."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecad_automl.errors import StudyError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import (
    BaselineRecord,
    EvaluationRecord,
    GenerationRecord,
    Store,
    shown,
)
from studies.evaluated import Costly, minimizes_latency, study_cost, study_front
from surrogate.pareto import cheapest_within_drop, knee, most_reward_at_speedup

__all__ = ["StoredStudy", "StudyCost", "find_study", "read_study"]

_UNCACHED = "uncached"


@dataclass(frozen=True)
class StudyCost:
    """What a study minimizes.

    Args:
        name: for people.
        unit: of a value.
        of: the value of a record.
    """

    name: str
    unit: str
    of: Callable[[Costly], float]


@dataclass(frozen=True)
class StoredStudy:
    """All that a study database holds of one study.

    Args:
        name: of the study.
        identity: what its results depend on.
        layout: the slots of its transformer.
        evaluations: every evaluated schedule, without per-image scores.
        baselines: uncached runs by name.
        generations: figures of each generation.
    """

    name: str
    identity: dict[str, Any]
    layout: Layout
    evaluations: list[EvaluationRecord]
    baselines: dict[str, BaselineRecord]
    generations: list[GenerationRecord]

    @property
    def steps(self) -> int:
        """Denoising steps of its schedules."""
        return int(self.identity["generation"]["steps"])

    @property
    def cost(self) -> StudyCost:
        """What it minimizes; studies that say nothing of it minimize MACs."""
        name, unit = ("MACs", "GMACs per image")
        if minimizes_latency(self.identity):
            name, unit = ("latency", "ms per image in the transformer")
        return StudyCost(name, unit, study_cost(self.identity))

    def speedup(self, record: Costly) -> float:
        """How many times cheaper than the uncached run."""
        return self.cost.of(self.uncached) / self.cost.of(record)

    @property
    def uncached(self) -> BaselineRecord:
        """The run that everything is compared with."""
        return self.baselines[_UNCACHED]

    def front(self) -> list[EvaluationRecord]:
        """The evaluated schedules that no other one beats, cheapest first."""
        return study_front(self.evaluations, self.identity)

    def at_speedup(self, records: Sequence[EvaluationRecord], speedup: float) -> EvaluationRecord:
        """The record of the highest reward that is at least so many times cheaper than the uncached run.

        Raises:
            StudyError: none is that cheap.
        """
        full = self.cost.of(self.uncached)
        return records[most_reward_at_speedup(*self._values(records), full, speedup)]

    def within_drop(self, records: Sequence[EvaluationRecord], drop: float) -> EvaluationRecord:
        """The cheapest record whose mean reward is at most so much below that of the uncached run.

        Raises:
            StudyError: every record loses more.
        """
        drops = [record.reward_drop for record in records]
        return records[cheapest_within_drop(*self._values(records), drops, drop)]

    def knee(self, records: Sequence[EvaluationRecord]) -> EvaluationRecord:
        """The record where a front bends most.

        Raises:
            StudyError: there is none.
        """
        return records[knee(*self._values(records))]

    def trial(self, number: int) -> EvaluationRecord:
        """The evaluation of an Optuna trial.

        Raises:
            StudyError: the study has none of that trial.
        """
        trials = {record.trial: record for record in self.evaluations if record.trial is not None}
        if number in trials:
            return trials[number]
        known = f"the trials go from {min(trials)} to {max(trials)}" if trials else "it has no trials yet"
        raise StudyError(f"The study has no evaluated trial {number}; {known}.")

    def _values(self, records: Sequence[EvaluationRecord]) -> tuple[list[float], list[float]]:
        return [record.reward for record in records], list(map(self.cost.of, records))

    def evaluation(self, genome: str) -> EvaluationRecord:
        """The evaluation of a genome that the study holds."""
        return next(record for record in self.evaluations if record.genome == genome)

    def schedule(self, record: EvaluationRecord) -> Schedule:
        """The schedule of an evaluation."""
        return Schedule.from_hex(self.layout, self.steps, record.genome)


def read_study(storage: str | Path, name: str | None) -> StoredStudy:
    """Read a study; without a name, the only one of the file.

    Args:
        storage: path or URL of the study database.
        name: of the study.

    Raises:
        StorageError: the database is missing, damaged or cannot be reached.
        StudyError: the study does not exist, was not named where there are several, or has no evaluations yet.
    """
    with Store.open(storage, read_only=True) as store:
        name, identity = find_study(store, storage, name)
        study = StoredStudy(
            name,
            identity,
            Layout.from_dict(identity["layout"]),
            store.evaluations(name, scores=False),
            store.baselines(name),
            store.generations(name),
        )
    if not study.evaluations or _UNCACHED not in study.baselines:
        raise StudyError(f"The study {name!r} has no evaluated schedule yet; run `ecad-automl search` first.")
    return study


def find_study(store: Store, storage: str | Path, name: str | None) -> tuple[str, dict[str, Any]]:
    """The name and identity of a study; without a name, of the only one of the file.

    Raises:
        StudyError: the study does not exist, or was not named where there are several.
    """
    names, where = store.studies(), shown(storage)
    listed = ", ".join(map(repr, names)) or "none"
    if name is None:
        if len(names) != 1:
            raise StudyError(f"{where} holds {len(names)} studies ({listed}); name one of them (--study).")
        name = names[0]
    identity = store.identity(name)
    if identity is None:
        raise StudyError(f"{where} holds no study {name!r}; it holds {listed}.")
    return name, identity
