"""Schedules known before a search: the front and the evaluations of another study, or files of schedules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import EcadError, FileError, ScheduleError, StorageError, StudyError
from ecad_automl.files.json_file import read_json_object
from ecad_automl.files.paths import expand_home
from ecad_automl.hub import schedule_paths
from ecad_automl.schedules.ecad_format import read_ecad
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import from_document
from ecad_automl.schedules.transfer import move_schedule
from storage import EvaluationRecord, Store, redacted, split_study
from studies.cost import study_front
from studies.quality import worst_of_interest
from studies.seeds import UNCACHED

_SQLITE = b"SQLite format 3\0"
_DATABASES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True, eq=False)
class Source:
    """What one source knows.

    Args:
        name: of the source, for people.
        seeds: the schedules worth trying, by a name of their own.
        evaluated: ``n`` schedules whose rewards are known.
        rewards: ``(n,)`` their mean rewards.
        uncached: the reward of the uncached run.
        worst: the worst reward of interest, see :func:`~studies.quality.worst_of_interest`.
        notes: what was left out, a sentence each.
    """

    name: str
    seeds: tuple[tuple[str, Schedule], ...]
    evaluated: tuple[Schedule, ...] = ()
    rewards: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    uncached: float = 0.0
    worst: float = 0.0
    notes: tuple[str, ...] = ()

    def moved(self, layout: Layout, steps: int) -> Source:
        """The same, with schedules for another model and step count, moved by ``move_schedule``.

        Raises:
            ScheduleError: a schedule has no component that the layout has.
        """
        try:
            return replace(
                self,
                seeds=tuple((name, move_schedule(schedule, layout, steps)) for name, schedule in self.seeds),
                evaluated=tuple(move_schedule(schedule, layout, steps) for schedule in self.evaluated),
            )
        except ScheduleError as error:
            raise ScheduleError(f"The search cannot start from {self.name!r}: {error}") from error


def read_source(location: str | Path) -> Source:
    """Read a study database, a schedule file, or a folder of schedule files.

    Of a study all complete evaluations are read, and its front makes the seeds; of files every schedule is a seed.
    Files may be ours or the ECAD authors'. In a folder, what is no usable schedule is left out with a note.

    Args:
        location: a path or URL. ``other.db#name`` names one of several studies in a file.

    Raises:
        EcadError: there is nothing at the location, or nothing of use; the message says what.
    """
    text = str(location)
    if "://" in text:
        return _study(text)
    path = expand_home(text)
    if path.is_dir():
        return _folder(path)
    file = path if path.exists() else Path(str(path).rpartition("#")[0] or path)
    if not file.is_file():
        raise FileError(
            f"There is nothing at {text} to start from; give a study database, a schedule file, or a folder of them."
        )
    if file.suffix in _DATABASES or _starts(file) == _SQLITE:
        return _study(str(path))
    schedule = _schedule(path)
    return Source(path.stem, ((path.stem, schedule),))


def _starts(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE))
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error


def _folder(folder: Path) -> Source:
    seeds: list[tuple[str, Schedule]] = []
    notes: list[str] = []
    for path in schedule_paths(folder):
        try:
            seeds.append((path.stem, _schedule(path)))
        except (FileError, ScheduleError) as error:
            notes.append(f"Left out: {error}")
    if not seeds:
        found = f"the first of {len(notes)} files says: {notes[0]}" if notes else "it has no .json file"
        raise FileError(f"The folder {folder} holds no schedule to start from; {found}")
    return Source(folder.resolve().name, tuple(seeds), notes=tuple(notes))


def _schedule(path: Path) -> Schedule:
    data = read_json_object(path, "schedule file")
    return from_document(data, str(path)).schedule if "schema" in data else read_ecad(path).schedule


def _study(location: str) -> Source:
    place, wanted = split_study(location)
    with Store.open(place, read_only=True) as store:
        place = redacted(place)
        name = _name(store, place, wanted)
        identity = store.identity(name) or {}
        records = [record for record in store.evaluations(name, scores=False) if record.complete]
        baselines = store.baselines(name)
    if not records or UNCACHED not in baselines:
        raise StudyError(f"The study {name!r} in {place} has no evaluated schedule yet to start from.")
    try:
        layout, steps = Layout.from_dict(identity["layout"]), int(identity["generation"]["steps"])
        schedules = {record.genome: Schedule.from_genome(layout, steps, record.genome) for record in records}
    except (KeyError, TypeError, ValueError, EcadError) as error:
        raise StorageError(
            f"The study {name!r} in {place} does not say which slots and steps its schedules have "
            f"({type(error).__name__}: {error}); it cannot be started from."
        ) from error
    rewards = np.array([record.reward for record in records])
    uncached = baselines[UNCACHED].reward
    return Source(
        name,
        tuple((_called(name, record), schedules[record.genome]) for record in study_front(records, identity)),
        tuple(schedules[record.genome] for record in records),
        rewards,
        uncached,
        worst_of_interest(uncached, (record.reward for record in baselines.values()), float(rewards.min())),
    )


def _name(store: Store, place: str, wanted: str) -> str:
    names = store.studies()
    if wanted in names:
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    listed = ", ".join(map(repr, names)) or "none"
    if wanted:
        raise StudyError(f"{place} holds no study {wanted!r}; it holds {listed}.")
    raise StudyError(f"{place} holds {len(names)} studies ({listed}); name one as {place}#NAME.")


def _called(study: str, record: EvaluationRecord) -> str:
    return f"{study}-{record.origin if record.trial is None else f'trial{record.trial}'}"
