"""What a database reports, as one sentence that says what to do."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ecad_automl.errors import StorageError
from storage.location import backup_path, database_path, is_server
from storage.server_faults import server_error

BUSY_SECONDS = 30.0
"""How long a connection waits for another one's lock before it gives up."""

# By primary result code; https://www.sqlite.org/rescode.html
_SENTENCES = {
    sqlite3.SQLITE_BUSY: "is locked by another process for too long; close what else writes to it and try again",
    sqlite3.SQLITE_LOCKED: "is locked by another connection; close what else uses it and try again",
    sqlite3.SQLITE_READONLY: "cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "cannot be used; check the permissions of the file and its folder",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; make room, then run the same command again",
    sqlite3.SQLITE_IOERR: "could not be read or written; check the disk and its room, then run the same command again",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that its folder exists and can be written",
    sqlite3.SQLITE_NOTADB: "is no SQLite file; check the path, or move the file away to start a new study",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a copy, or salvage it with `sqlite3 FILE .recover`",
}

#: Where a backup is of help.
_DAMAGES = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """The sentence for one of SQLite's errors."""
    said = " ".join(str(error).split())  # it may quote a statement of several lines
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    sentence = _SENTENCES.get(code)
    if sentence is not None and code in _DAMAGES and (advice := restore_advice(path)) is not None:
        sentence = f"{sentence.partition(';')[0]}; {advice}"
    if sentence is None:
        return StorageError(f"The study database {path} cannot be used ({said}); check the file.")
    return StorageError(f"The study database {path} {sentence} ({said}).")


def restore_advice(path: Path) -> str | None:
    """What to do about a damaged database that has a backup; None where it has none."""
    backup = backup_path(path)
    try:
        made = datetime.fromtimestamp(backup.stat().st_mtime, UTC)
    except OSError:
        return None
    return (
        f"its backup of {made:%Y-%m-%d %H:%M} UTC is put in its place by "
        f"`ecad-automl check --storage {shlex.quote(str(path))} --restore`"
    )


@contextmanager
def storage_faults(location: str | Path) -> Iterator[None]:
    """Turn errors of the database inside the block into :class:`~ecad_automl.errors.StorageError`.

    Errors of SQLAlchemy and Optuna that were caused by one of the database are turned alike.

    Args:
        location: a path or URL of a study database.

    Raises:
        StorageError: the database could not do what was asked.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if is_server(location):
            found = server_error(location, error)
        else:
            cause = _sqlite_cause(error)
            found = None if cause is None else storage_error(database_path(location), cause)
        if found is None:
            raise
        raise found from error


def _sqlite_cause(error: BaseException | None) -> sqlite3.Error | None:
    while error is not None and not isinstance(error, sqlite3.Error):
        if isinstance(error, UnicodeDecodeError):  # what sqlite3 raises where a message quotes damaged bytes
            damage = sqlite3.DatabaseError(f"damaged text: {error}")
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            return damage
        error = error.__cause__
    return error
