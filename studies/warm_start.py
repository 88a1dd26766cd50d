"""Starting a study from what is known, other studies or files of schedules: as seeds, and as prior of the surrogate."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import FileError, ScheduleError, StorageError, StudyError
from ecad_automl.files.arrays import read_arrays
from ecad_automl.files.json_file import read_json_object
from ecad_automl.files.paths import expand_home
from ecad_automl.hub import schedule_paths
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.ecad_format import read_ecad
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import from_document
from ecad_automl.schedules.transfer import move_schedule
from storage import EvaluationRecord, Store, may_exist, redacted, split_study
from studies.cost import Cost, study_front
from studies.quality import worst_of_interest
from studies.seeds import UNCACHED
from surrogate import LogDrop

_SQLITE = b"SQLite format 3\0"
_DATABASES = (".db", ".sqlite", ".sqlite3")
#: The origin of a seed that was known before starts so.
_ORIGIN = "init:"
_STORED = "init"
#: Evaluations of a prior; more teach little and take time in every generation.
_MOST = 1000


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

        What they forecast has made-up weights: a study takes those of its own drift.

        Raises:
            ScheduleError: a schedule has no component that the layout has.
        """
        slots = tuple(slot.name for slot in layout.slots)
        still = Drift(slots, np.zeros((len(slots), steps, steps)), np.ones((len(slots), steps)))  # type: ignore[arg-type]
        weights = Forecasts(still, layout.component_index)
        try:
            return replace(
                self,
                seeds=tuple((name, move_schedule(schedule, layout, steps, weights)) for name, schedule in self.seeds),
                evaluated=tuple(move_schedule(schedule, layout, steps, weights) for schedule in self.evaluated),
            )
        except ScheduleError as error:
            raise ScheduleError(f"The search cannot start from {self.name!r}: {error}") from error


def read_source(location: str | Path) -> Source:
    """Read a study database, a schedule file, or a folder of schedule files.

    Of a study all complete evaluations of its own number of steps are read, and those on its front make the seeds; of
    files every schedule is a seed.
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
        genomes = store.genomes(name)
    if not records or UNCACHED not in baselines:
        raise StudyError(f"The study {name!r} in {place} has no evaluated schedule yet to start from.")
    front = study_front(records, identity)
    # Moved to all steps, a run of fewer would be another one, which nobody has evaluated.
    records, front = (
        [each for each in some if genomes.steps_of(each.genome) == genomes.steps] for some in (records, front)
    )
    schedules = {record.genome: genomes.schedule(record.genome) for record in records}
    rewards = np.array([record.reward for record in records])
    uncached = baselines[UNCACHED].reward
    return Source(
        name,
        tuple((_called(name, record), schedules[record.genome]) for record in front),
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


@dataclass(frozen=True, eq=False)
class WarmStart:
    """What a study starts from.

    Args:
        sources: names of what it was made from.
        seeds: schedules by origin; the first few of them are spread over the cost like all.
        evaluated: schedules that other studies have evaluated.
        log_drop: what they have found of each, see :class:`~surrogate.Prior`.
    """

    sources: tuple[str, ...] = ()
    seeds: Mapping[str, Schedule] = field(default_factory=dict)
    evaluated: Sequence[Schedule] = ()
    log_drop: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def from_sources(cls, sources: Sequence[Source], cost: Cost, limit: int) -> WarmStart:
        """What to start a study from."""
        seeds: dict[Schedule, str] = {}
        for source in sources:
            for name, schedule in source.seeds:
                later = schedule.effective[1:]
                if later.any() and not later.all():  # neither extreme is news
                    seeds.setdefault(schedule, name)
        chosen = _spread(list(seeds), cost, limit)
        named = _named((seeds[schedule], schedule) for schedule in chosen)
        return cls(tuple(source.name for source in sources), named, *_evaluated(sources))

    def save(self, store: Store, study: str) -> None:
        """Keep it in a study, which then needs the sources no more."""
        arrays: dict[str, NDArray[np.generic]] = {
            "sources": np.array(self.sources, dtype=np.str_),
            "origins": np.array(list(self.seeds), dtype=np.str_),
            "genomes": np.array([schedule.to_genome() for schedule in self.seeds.values()], dtype=np.str_),
        }
        if self.evaluated:
            genomes = [schedule.to_genome() for schedule in self.evaluated]
            arrays |= {"evaluated": np.array(genomes, dtype=np.str_), "log_drop": self.log_drop}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        store.save_calibration(study, _STORED, buffer.getvalue())

    @classmethod
    def load(
        cls,
        store: Store,
        study: str,
        layout: Layout,
        steps: int,
        forecasts: Forecasts | None = None,
        *,
        guided: bool = False,
    ) -> WarmStart:
        """What a study was started from, if anything.

        Args:
            store: the open file.
            study: its name.
            layout: the slots.
            steps: of a run.
            forecasts: of the study; None reuses where sources have forecast.
            guided: whether its schedules may leave out a guidance branch; if not, those of sources compute both.

        Raises:
            StorageError: what is stored is damaged.
        """
        data = store.calibration(study, _STORED)
        if data is None:
            return cls()

        def read(genome: str) -> Schedule:
            if forecasts is not None:
                found = Schedule.from_genome(layout, steps, genome, forecasts)
                return found if guided else Schedule(layout, found.compute, found.skip, found.damping, forecasts)
            return Schedule.from_genome(layout, steps, genome.partition("/")[0])

        try:
            archive = read_arrays(data)
            sources, origins = (tuple(map(str, archive[name])) for name in ("sources", "origins"))
            if "genomes" not in archive:  # of a version that knew no forecasts
                archive["genomes"] = _unpacked(archive["seeds"], len(origins), steps, layout)
                if "compute" in archive:
                    archive["evaluated"] = _unpacked(archive["compute"], len(archive["log_drop"]), steps, layout)
            seeds = {name: read(str(genome)) for name, genome in zip(origins, archive["genomes"], strict=True)}
            evaluated = [read(str(genome)) for genome in archive.get("evaluated", ())]
            return cls(sources, seeds, evaluated, archive.get("log_drop", np.empty(0)))
        # Arrays of other kinds than these fail in many ways.
        except Exception as error:
            raise StorageError(
                f"What the study {study!r} in {store.location} started from cannot be read ({type(error).__name__}: "
                f"{error}); restore the file."
            ) from error


def is_started(store: Store, study: str) -> bool:
    """Whether a study has begun, so that what it starts from is settled."""
    return store.calibration(study, _STORED) is not None or UNCACHED in store.baselines(study)


def has_started(storage: str | Path, study: str) -> bool:
    """:func:`is_started` for a database that may not exist yet.

    Raises:
        StorageError: the location is none for a study database.
    """
    if not may_exist(storage):
        return False
    with suppress(StorageError), Store.open(storage, read_only=True) as store:
        return is_started(store, study)
    return False  # one that cannot be read or has no studies; opening it to search says what is wrong, if anything


def _named(seeds: Iterable[tuple[str, Schedule]]) -> dict[str, Schedule]:
    """Seeds by origin; a number follows where two sources use one name."""
    named: dict[str, Schedule] = {}
    for name, schedule in seeds:
        origin, number = f"{_ORIGIN}{name}", 1
        while origin in named:
            number += 1
            origin = f"{_ORIGIN}{name} ({number})"
        named[origin] = schedule
    return named


def _spread(schedules: list[Schedule], cost: Cost, limit: int) -> list[Schedule]:
    """At most so many: for each of evenly spread costs the nearest that is left, near ones far apart in the order."""
    if not schedules or limit < 1:
        return []
    log_cost = np.log(list(map(cost.of, schedules)))
    wanted = np.linspace(log_cost.min(), log_cost.max(), min(limit, len(schedules)))
    apart = np.abs(wanted[:, None] - log_cost)
    chosen = []
    for row in apart:
        chosen.append(int(row.argmin()))
        apart[:, chosen[-1]] = np.inf
    cheapest_first = sorted(chosen, key=lambda index: (log_cost[index], index))
    # Ranks by their digits in reverse (van der Corput): a front takes shape early, not from one end.
    ranks = sorted(range(len(chosen)), key=lambda rank: f"{rank:032b}"[::-1])
    return [schedules[cheapest_first[rank]] for rank in ranks]


def _evaluated(sources: Sequence[Source]) -> tuple[list[Schedule], NDArray[np.float64]]:
    schedules: list[Schedule] = []
    log_drops: list[float] = []
    for source in sources:
        if source.evaluated:
            # Studies differ in what a reward means, but not in that it falls from the uncached run to the worst one.
            scale = LogDrop(source.uncached, max(source.uncached - source.worst, 0.0))
            schedules += source.evaluated
            log_drops += scale.of(source.rewards).tolist()
    kept = np.unique(np.linspace(0, len(schedules) - 1, min(_MOST, len(schedules))).astype(int))
    return [schedules[index] for index in kept], np.array(log_drops)[kept]


def _unpacked(packed: NDArray[np.uint8], count: int, steps: int, layout: Layout) -> NDArray[np.str_]:
    """``(count,)`` genomes of bits that are packed without a gap."""
    bits = np.unpackbits(packed, count=count * steps * len(layout)).reshape(count, -1)
    return np.array([np.packbits(row).tobytes().hex() for row in bits], dtype=np.str_)
