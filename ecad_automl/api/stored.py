"""Reading a study to inspect it; imports neither torch nor Optuna."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecad_automl.errors import StudyError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from storage import (
    BaselineRecord,
    Costly,
    EvaluationRecord,
    GenerationRecord,
    Store,
    by_gmacs,
    by_latency,
    front,
    shown,
)

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


_MACS = StudyCost("MACs", "GMACs per image", by_gmacs)
_LATENCY = StudyCost("latency", "ms per image in the transformer", by_latency)


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
        return _LATENCY if "cost" in self.identity else _MACS

    def speedup(self, record: Costly) -> float:
        """How many times cheaper than the uncached run."""
        return self.cost.of(self.uncached) / self.cost.of(record)

    @property
    def uncached(self) -> BaselineRecord:
        """The run that everything is compared with."""
        return self.baselines[_UNCACHED]

    def front(self) -> list[EvaluationRecord]:
        """The evaluated schedules that no other one beats, cheapest first."""
        return front(self.evaluations, self.cost.of)

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
