"""What a database, its server or its driver reports, as one sentence that says what to do."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ecad_automl.errors import StorageError
from storage.location import backup_path, database_path, is_server, redacted

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

_UNREACHABLE = "cannot be reached; check the host and port, and that the server runs"
_BROKEN = "does not answer any more; when the server runs again, run the same command to go on"
_PASSWORD = "refuses the user or the password; check both: a password may be in the URL, in PGPASSWORD or in ~/.pgpass"
_MISSING = "does not exist on its server; make it first (create database), or check its name"
_PERMISSION = (
    "does not let its user do this; grant the rights to read and write tables and, for the first search, to create them"
)
_READ_ONLY = "cannot be written; it was opened, or its server runs, for reading only"
_LOCKED = "is locked by another connection for too long; close what else writes to it and try again"
_CONNECTIONS = "takes no more connections; close some, or let its server take more"
_FULL = "cannot grow, the disk of its server is full; make room, then run the same command again"
_BUSY_STARTING = "is starting or stopping; wait a moment, then run the same command again"
_TOO_LONG = "was given something that it cannot keep"

#: By SQLSTATE or its first two characters; https://www.postgresql.org/docs/current/errcodes-appendix.html
_SERVER_SENTENCES = {
    "08": _BROKEN,
    "22": _TOO_LONG,
    "25006": _READ_ONLY,
    "28": _PASSWORD,
    "3D": _MISSING,
    "42501": _PERMISSION,
    "40": _LOCKED,
    "53100": _FULL,
    "53300": _CONNECTIONS,
    "55P03": _LOCKED,
    "57P01": _BROKEN,
    "57P02": _BROKEN,
    "57P03": _BUSY_STARTING,
}

#: What the client library of PostgreSQL says when there is no connection yet, and so no SQLSTATE.
_CONNECTING = (
    ("password authentication failed", _PASSWORD),
    ("no password supplied", _PASSWORD),
    ("no pg_hba.conf entry", _PASSWORD),
    ("authentication failed", _PASSWORD),
    ("is starting up", _BUSY_STARTING),
    ("is shutting down", _BUSY_STARTING),
    ("not yet accepting connections", _BUSY_STARTING),
    ("permission denied", _PERMISSION),
    ("too many connections", _CONNECTIONS),
    ("too many clients", _CONNECTIONS),
    ("remaining connection slots", _CONNECTIONS),
    ("closed", _BROKEN),
    ("consuming input failed", _BROKEN),
    ("connection is lost", _BROKEN),
)

_DEADLOCKS = {"40001", "40P01"}


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


def server_error(location: str | Path, error: BaseException) -> StorageError | None:
    """The sentence for an error of SQLAlchemy or a driver, or one that they caused; None for others."""
    cause = _cause(error)
    if cause is None:
        return None
    driver = getattr(cause, "orig", None) or cause
    # The first line: others repeat the statement and its values, or guess.
    detail = str(driver).strip().partition("\n")[0].strip() or type(driver).__name__
    detail = detail.rpartition("failed: ")[2] if detail.startswith("connection ") else detail
    sentence = _sentence(driver)
    if sentence is None:
        return StorageError(f"The study database {redacted(location)} cannot be used ({detail}); check the server.")
    return StorageError(f"The study database {redacted(location)} {sentence} ({detail.rstrip('.')}).")


def is_deadlock(error: BaseException) -> bool:
    """Whether the server undid a transaction so that another one could go on; it may be tried again."""
    driver = getattr(error, "orig", None) or error
    return getattr(driver, "sqlstate", None) in _DEADLOCKS


def _sentence(driver: BaseException) -> str | None:
    state = getattr(driver, "sqlstate", None)
    if state is not None:
        return _SERVER_SENTENCES.get(state) or _SERVER_SENTENCES.get(state[:2])
    text = str(driver)
    if 'database "' in text and "does not exist" in text:
        return _MISSING
    if 'role "' in text and ("does not exist" in text or "not permitted to log in" in text):
        return _PASSWORD
    for part, sentence in _CONNECTING:
        if part in text:
            return sentence
    return _UNREACHABLE if type(driver).__module__.startswith("psycopg") else None


def _cause(error: BaseException | None) -> BaseException | None:
    """The first error in the chain of causes that SQLAlchemy or a driver has raised."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in ("sqlalchemy", "psycopg"):
            return error
        error = error.__cause__
    return None
