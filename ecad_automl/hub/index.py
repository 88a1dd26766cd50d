"""Shared schedules: reading one of a file, folder or repository; several in one place, with an index to choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from ecad_automl.errors import FileError, OptionError
from ecad_automl.files.json_file import json_text, read_json_object, write_text
from ecad_automl.hub.fetching import commit_of, fetch_first, place_of
from ecad_automl.hub.folder import INDEX, SCHEDULE, inside, is_plain, make_folder
from ecad_automl.schedules.schedule_file import (
    MAX_SCHEDULE_BYTES,
    Measured,
    ScheduleFile,
    load_schedule,
    save_schedule,
    schedule_sha256,
)

INDEX_SCHEMA = "ecad-automl/index/1"

_WHAT = "schedule index"


def _checked(name: str) -> str:
    if not is_plain(name):
        raise ValueError("a relative path of a .json file, without '..', is needed")
    return name


class IndexEntry(BaseModel):
    """One schedule of an index.

    Attributes:
        name: for people.
        file: path of its file, relative to the index, with ``/``.
        sha256: of what it does; see :func:`~ecad_automl.schedules.schedule_file.schedule_sha256`.
        steps: denoising steps.
        speedup: how many times cheaper than the uncached run, in ``speedup_of``.
        speedup_of: "latency" where the study minimized that (by its model of the device), else "MACs".
        gmacs: 10^9 multiply-accumulates of the transformer over a run, for one image.
        mac_speedup: how many times fewer MACs.
        reward: mean reward in the search.
        reward_difference: mean paired difference to the uncached run in the search.
        confirmed_reward: mean reward on prompts and seeds that the search never saw.
        confirmed_reward_difference: mean paired difference to the uncached run there.
        survives: whether it stayed on the front there.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    name: str
    file: Annotated[str, AfterValidator(_checked)]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    steps: int = Field(ge=1)
    speedup: float = Field(gt=0)
    speedup_of: Literal["MACs", "latency"] = "MACs"
    gmacs: float = Field(ge=0)
    mac_speedup: float = Field(gt=0)
    reward: Measured | None = None
    reward_difference: Measured | None = None
    confirmed_reward: Measured | None = None
    confirmed_reward_difference: Measured | None = None
    survives: bool | None = None


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    schedules: tuple[IndexEntry, ...] = Field(min_length=1)


@dataclass(frozen=True)
class ScheduleIndex:
    """The schedules of a folder or repository; a sequence of its entries, in the order of the file.

    Args:
        source: the folder, or ``owner/name@commit``.
        entries: one for each schedule.
        path_of: from a file's name in the index to where it lies, fetched where needed.
    """

    source: str
    entries: tuple[IndexEntry, ...]
    path_of: Callable[[str], Path]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[IndexEntry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> IndexEntry:
        """The entry of that name.

        Raises:
            OptionError: there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise OptionError(f"{self.source} has no schedule {name!r}; it has {_listed(self.entries)}.")

    def by_speedup(self, speedup: float, *, confirmed: bool = False) -> IndexEntry:
        """The entry of the best reward difference among those that are at least so many times cheaper.

        Args:
            speedup: wanted ratio of costs, such as 2.
            confirmed: choose among what survived on unseen prompts, by the difference there.

        Raises:
            OptionError: none is that cheap, or the schedules have no such measurement.
        """
        if not speedup > 0:
            raise OptionError(f"A speedup of {speedup:g} was asked for, but it must be above 0, such as 2.")
        known = [(entry, _difference(entry, confirmed=confirmed)) for entry in self.entries]
        measured = [(entry, difference) for entry, difference in known if difference is not None]
        if not measured:
            what = "that survived on unseen prompts" if confirmed else "with a measured reward difference"
            raise OptionError(f"{self.source} has no schedule {what}; choose one by name: {_listed(self.entries)}.")
        # A schedule of exactly the wanted cost must not be lost to rounding.
        fitting = [pair for pair in measured if pair[0].speedup * (1 + 1e-9) >= speedup]
        if not fitting:
            most = max(entry.speedup for entry, _ in measured)
            raise OptionError(
                f"No schedule of {self.source} is {speedup:g} times cheaper than the uncached run; the cheapest is "
                f"{most:.2f} times, so ask for less."
            )
        return max(fitting, key=lambda pair: (pair[1], pair[0].speedup))[0]

    def load(self, entry: IndexEntry | str) -> ScheduleFile:
        """The schedule of an entry, or of the entry of that name.

        Raises:
            FileError: the file is missing, damaged or not what the index tells.
        """
        if isinstance(entry, str):
            entry = self[entry]
        path = self.path_of(entry.file)
        file = load_schedule(path)
        found = schedule_sha256(file.schedule)
        if found != entry.sha256:
            raise FileError(
                f"The schedule file {path} has the hash {found}, but the index of {self.source} tells {entry.sha256}; "
                "restore both from one copy or export them again."
            )
        return file


def load_index(source: str | Path, *, revision: str | None = None) -> ScheduleIndex:
    """Read the index of a folder, or of a model repository of the hub.

    Files of a repository are fetched when they are loaded, all of the commit that the index is of.

    Args:
        source: a folder that has an ``index.json``, or ``owner/name`` or ``owner/name@revision``. Folders win.
        revision: branch, tag or commit on the hub.

    Raises:
        FileError: there is no index, it is damaged, too large, or names files outside its folder.
        HubError: it cannot be fetched.
        OptionError: the arguments do not go together.
    """
    place = place_of(source, revision)
    if isinstance(place, Path):
        return read_index(place)
    if place.file is not None:
        raise OptionError(f"{source!r} names a file, but an index is of a whole repository; give {place.repo!r}.")
    return fetched_index(place.repo, fetch_first(place.repo, [INDEX], place.revision))


def fetched_index(repo: str, path: Path) -> ScheduleIndex:
    """The index of a repository, read from its fetched file."""
    commit = commit_of(path, INDEX)
    return ScheduleIndex(f"{repo}@{commit}", _read(path), lambda name: fetch_first(repo, [name], commit))


def read_index(folder: Path) -> ScheduleIndex:
    """The index of a folder; see :func:`load_index`."""
    return ScheduleIndex(str(folder), _read(inside(folder, INDEX)), lambda name: inside(folder, name))


def entry_of(name: str, file: ScheduleFile) -> IndexEntry:
    """What an index tells of a schedule.

    Args:
        name: of its file, relative to the index.
        file: the schedule and its measurements.
    """
    schedule, measured = file.schedule, file.metadata.objectives
    latency = measured.get("latency_speedup")
    return IndexEntry(
        name=file.metadata.name or Path(name).stem,
        file=name,
        sha256=schedule_sha256(schedule),
        steps=schedule.steps,
        speedup=file.mac_speedup if latency is None else latency.value,
        speedup_of="MACs" if latency is None else "latency",
        gmacs=schedule.gmacs,
        mac_speedup=file.mac_speedup,
        reward=measured.get("reward"),
        reward_difference=measured.get("reward_difference"),
        confirmed_reward=measured.get("confirmed_reward"),
        confirmed_reward_difference=measured.get("confirmed_reward_difference"),
        survives=file.metadata.survives,
    )


def save_schedules(folder: str | Path, files: Mapping[str, ScheduleFile]) -> list[Path]:
    """Write schedules into one folder, and the index of them.

    Args:
        folder: made where it does not exist; other files in it are left alone, and not in the index.
        files: schedules by the names of their files, such as ``a.json``, in the order of the index.

    Returns:
        The schedule files.

    Raises:
        FileError: there is no schedule, two have the same name, or a file cannot be written.
        OptionError: a name is none that a file can have.
    """
    folder = Path(folder)
    _check_files(files, folder)
    make_folder(folder)
    for name, file in files.items():
        save_schedule(folder / name, file.schedule, file.metadata)
    save_index(folder, files)
    return [folder / name for name in files]


def save_index(folder: str | Path, files: Mapping[str, ScheduleFile]) -> Path:
    """Write the index of schedules that were written into a folder; see :func:`save_schedules`.

    Returns:
        The index.

    Raises:
        FileError, OptionError: see :func:`save_schedules`.
    """
    folder = Path(folder)
    entries = _check_files(files, folder)
    document = {
        "schema": INDEX_SCHEMA,
        "schedules": [entry.model_dump(mode="json", exclude_none=True) for entry in entries],
    }
    write_text(folder / INDEX, json_text(document), _WHAT)
    return folder / INDEX


def _check_files(files: Mapping[str, ScheduleFile], folder: Path) -> list[IndexEntry]:
    for name in files:
        if not is_plain(name) or "/" in name or name == INDEX:
            raise OptionError(f"A schedule of an index cannot have the file {name!r}; a name such as 'a.json' can.")
    entries = [entry_of(name, file) for name, file in files.items()]
    _check_entries(entries, str(folder))
    return entries


def _read(path: Path) -> tuple[IndexEntry, ...]:
    data = read_json_object(path, _WHAT, most_bytes=MAX_SCHEDULE_BYTES)
    schema = data.get("schema")
    if schema != INDEX_SCHEMA:
        raise FileError(
            f"The {_WHAT} {path} has {schema!r:.80} for 'schema', but this version reads {INDEX_SCHEMA!r}; check that "
            "it is the right file, or upgrade ecad-automl."
        )
    try:
        # Of JSON text, since tuples are lists there.
        entries = _Document.model_validate_json(json_text(data), strict=True).schedules
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileError(
            f"The {_WHAT} {path} has {first['input']!r:.60} for '{where}' ({first['msg']}); correct it or export again."
        ) from error
    except ValueError as error:
        raise FileError(f"The {_WHAT} {path} is damaged ({error}); export it again.") from error
    _check_entries(entries, str(path))
    return entries


def _check_entries(entries: Sequence[IndexEntry], source: str) -> None:
    if not entries:
        raise FileError(f"There is no schedule for an index in {source}; give at least one.")
    for what, values in (("name", [e.name for e in entries]), ("file", [e.file for e in entries])):
        twice, count = Counter(values).most_common(1)[0]
        if count > 1:
            raise FileError(f"Two schedules of {source} have the {what} {twice!r}; give each its own.")


def _difference(entry: IndexEntry, *, confirmed: bool) -> float | None:
    found = entry.reward_difference
    if confirmed:
        found = entry.confirmed_reward_difference if entry.survives else None
    return None if found is None else found.value


def _listed(entries: Sequence[IndexEntry], most: int = 8) -> str:
    names = [repr(entry.name) for entry in entries[:most]]
    return ", ".join(names) + (f" and {len(entries) - most} more" if len(entries) > most else "")


def load_pretrained(
    name_or_path: str | Path, *, revision: str | None = None, filename: str | None = None
) -> ScheduleFile:
    """Read a shared schedule: of a file, a folder, or a model repository of the hub.

    Paths win over names of the hub. Without a file name, a folder or repository gives its ``schedule.json``, or else
    the one schedule of its index.

    Args:
        name_or_path: a schedule file, a folder, or ``owner/name``, ``owner/name@revision``, ``owner/name/file.json``.
        revision: branch, tag or commit on the hub.
        filename: a file in the folder or repository.

    Raises:
        FileError: there is no such schedule here, or it cannot be read.
        HubError: it cannot be fetched.
        OptionError: there are several, or the arguments do not go together.
    """
    if filename is not None and not is_plain(filename):
        raise OptionError(f"{filename!r} is no file of a shared folder; give a relative path such as 'a.json'.")
    place = place_of(name_or_path, revision, filename)
    if isinstance(place, Path):
        return _load_local(place, filename)
    names = [SCHEDULE, INDEX] if place.file is None else [place.file]
    found = fetch_first(place.repo, names, place.revision)
    if place.file is None and found.name == INDEX:
        return _only(fetched_index(place.repo, found))
    return load_schedule(found)


def _load_local(path: Path, filename: str | None) -> ScheduleFile:
    if not path.is_dir():
        if filename is not None:
            raise OptionError(f"{path} is no folder, so filename={filename!r} cannot be in it; leave out one of them.")
        return load_schedule(path)
    if filename is not None:
        return load_schedule(inside(path, filename))
    if (path / SCHEDULE).is_file() or not (path / INDEX).is_file():
        if not (path / SCHEDULE).exists():
            raise FileError(
                f"The folder {path} has neither {SCHEDULE} nor {INDEX}; name a schedule file in it, or write the "
                "folder with ecad_automl.sharing.save_pretrained."
            )
        return load_schedule(inside(path, SCHEDULE))
    return _only(read_index(path))


def _only(index: ScheduleIndex) -> ScheduleFile:
    if len(index) > 1:
        names = ", ".join(repr(entry.file) for entry in index.entries[:8])
        more = f" and {len(index) - 8} more" if len(index) > 8 else ""
        raise OptionError(
            f"{index.source} holds {len(index)} schedules; name one ({names}{more}) or choose with load_index."
        )
    return index.load(index.entries[0])
