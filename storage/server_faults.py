"""What a database server and its driver report, as one sentence that says what to do; imports neither."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.errors import StorageError
from storage.location import redacted

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
_SENTENCES = {
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
        return _SENTENCES.get(state) or _SENTENCES.get(state[:2])
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
