"""Copies of a study database while it is in use, and the way back."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from ecad_automl.errors import StorageError
from storage.faults import storage_faults
from storage.location import backup_path, database_path, is_server
from storage.lock import writer_lock
from storage.sqlite_file import connect_read_only


@dataclass(frozen=True)
class Backups:
    """Makes a backup whenever a number of generations are over.

    Args:
        location: path or URL of the study database; of one on a server none are made, since servers have their own.
        every: generations between two backups; 0 makes none.
    """

    location: str | Path
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 0:
            raise StorageError(f"A backup every {self.every} generations was asked for; give 0 for none, or more.")

    def after_generation(self, generation: int) -> str | None:
        """Call it when a generation is over and its figures are stored.

        Returns:
            None; where the backup could not be written, a sentence about it: a search goes on without one.

        Raises:
            StorageError: the study database itself is damaged. The backup before it is left as it is.
        """
        if not self.every or generation % self.every or is_server(self.location):
            return None
        path = database_path(self.location)
        try:
            back_up(path)
        except _NotWrittenError as error:
            return str(error)
        return None


class _NotWrittenError(StorageError):
    """The place of the backup is at fault, not the database."""


def back_up(location: str | Path) -> Path:
    """Copy a study database to ``FILE.backup`` by SQLite's backup interface, while others read and write it.

    The copy is made and checked beside the earlier backup and then takes its place, so there is always a whole one. An
    earlier backup that holds more evaluations than the file is not of an earlier state of it (the file may have been
    cut off, and begun anew); it is kept as ``FILE.backup.1``, or the next free number.

    Args:
        location: a path or ``sqlite:///`` URL.

    Returns:
        The backup.

    Raises:
        StorageError: there is no database, it is damaged, or the backup cannot be written; an earlier backup is then
            unchanged.
    """
    path = database_path(location)
    if not path.is_file():
        raise StorageError(f"There is no study database at {path}, so no backup was made; check the path.")
    target = backup_path(path)
    with _beside(target) as beside:
        try:
            _copy(path, beside)
            if target.is_file() and _evaluations(target) > _evaluations(beside):
                target.rename(_unused(target))
            beside.replace(target)
            _flush(target.parent)
        except OSError as error:
            raise _not_written(path, target, error.strerror or str(error)) from error
    return target


def restore(location: str | Path) -> Path | None:
    """Put the backup in the place of the study database; what was there is kept as ``FILE.damaged``.

    Writes that SQLite has not yet merged (``FILE-wal``) are moved away with it: merged into another file they would
    damage that.

    Args:
        location: a path or ``sqlite:///`` URL.

    Returns:
        Where the old file lies now; None where there was none.

    Raises:
        StorageError: there is no backup, it is damaged too, a search is running, or the folder cannot be written.
    """
    path = database_path(location)
    backup = backup_path(path)
    if not backup.is_file():
        raise StorageError(f"There is no backup {backup} to restore {path} from; salvage it with `sqlite3 .recover`.")
    with writer_lock(path), _beside(path) as beside:
        try:
            _copy(backup, beside)
            old = _move_away(path)
            beside.replace(path)
            _flush(path.parent)
        except OSError as error:
            raise StorageError(
                f"The backup {backup} cannot be put in the place of {path} ({error.strerror or error}); check the "
                "folder and the room on the disk, then run it again."
            ) from error
    return old


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the same folder for a file that is gone after the block."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield beside
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _unused(path: Path) -> Path:
    """The path with the first number at its end under which neither a file nor a log of one lies."""
    found = (path.with_name(f"{path.name}.{number}") for number in count(1))
    return next(name for name in found if not name.exists() and not Path(f"{name}-wal").exists())


def _copy(source: Path, target: Path) -> None:
    """A checked copy in one file, on the disk, with no log beside it."""
    with storage_faults(source), closing(connect_read_only(source)) as reader:
        # What the system says of the target must not be taken for a fault of the source.
        try:
            with closing(sqlite3.connect(target, isolation_level=None)) as writer:
                reader.backup(writer)
                writer.execute("pragma journal_mode = delete").fetchone()
                found = [row[0] for row in writer.execute("pragma quick_check(1)")]
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            raise _not_written(source, target, str(error)) from error
        if found != ["ok"]:
            damage = sqlite3.DatabaseError(found[0].splitlines()[-1])
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
    _flush(target)


def _evaluations(path: Path) -> int:
    """How many it holds; 0 where it cannot be read."""
    try:
        with closing(connect_read_only(path)) as connection:
            return int(connection.execute("select count(*) from ecad_evaluations").fetchone()[0])
    except sqlite3.Error:
        return 0


def _move_away(path: Path) -> Path | None:
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    old = path.with_name(f"{path.name}.damaged")
    if old.exists() or Path(f"{old}-wal").exists():
        old = _unused(old)
    # The log goes first: without its file it does no harm, but beside the restored one it would.
    if log.exists():
        log.rename(f"{old}-wal")
    index.unlink(missing_ok=True)
    if not path.exists():
        return None
    path.rename(old)
    return old


def _flush(path: Path) -> None:
    """Onto the disk; of a folder, its names. Windows opens no folder, and cannot."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _not_written(path: Path, target: Path, reason: str) -> _NotWrittenError:
    return _NotWrittenError(
        f"The backup {target} of {path} could not be written ({reason}); make room in its folder, or search without "
        "backups. What was evaluated is kept."
    )
