"""Reading a shared schedule: of a file, a folder, or a repository of the hub."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import FileError, OptionError
from ecad_automl.hub.fetching import fetch_first, place_of
from ecad_automl.hub.folder import INDEX, SCHEDULE, inside, is_plain
from ecad_automl.hub.index import ScheduleIndex, fetched_index, read_index
from ecad_automl.schedules.schedule_file import ScheduleFile, load_schedule


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
