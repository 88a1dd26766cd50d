"""Whether a study database is whole: as a SQLite file, and in what it says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecad_automl.errors import StorageError
from storage._check_rows import Finding, Rows
from storage._check_study import CheckedStudy, check_study
from storage.faults import storage_error, storage_faults
from storage.location import database_path, is_server, redacted
from storage.lock import FileLock
from storage.records import COLUMNS, check_version
from storage.sqlite_file import connect_read_only
from storage.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: What sqlite3 raises of a damaged file; the second where a message quotes damaged bytes.
_DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
#: What SQLite lists of its damages at most.
_MOST = 50

#: Those that are looked at.
_OPTUNA_TABLES = ("studies", "trials", "trial_values", "trial_user_attributes", "trial_system_attributes")


@dataclass(frozen=True)
class CheckedFile:
    """What :func:`check_database` found.

    Attributes:
        path: the file; of a server, its URL without the password.
        searching: whether a search was running on it.
        studies: what was looked at; empty where the file could not be read that far.
        findings: what is wrong, in the order in which it was found.
    """

    path: Path | str
    searching: bool
    studies: tuple[CheckedStudy, ...] = ()
    findings: tuple[Finding, ...] = ()


def check_database(location: str | Path) -> CheckedFile:
    """Check a study database, of one state of it even while a search goes on.

    That is: SQLite's own checks of the file; that all tables are there; that evaluations, trials and studies belong to
    each other and no scores are missing; and that figures which are kept twice are the same. Nothing is written. A
    server checks its files itself; of a database on one the studies are checked.

    Args:
        location: a path or URL.

    Raises:
        StorageError: there is no file, it is no SQLite file, holds no study of ecad-automl, or was written by a newer
            version; or the server cannot be reached or read.
    """
    if is_server(location):
        return _check_server(location)
    from sqlalchemy import StaticPool, create_engine

    path = database_path(location)
    if not path.is_file():
        raise StorageError(f"There is no study database at {path}; check the path.")
    if not path.stat().st_size:
        raise StorageError(f"The study database {path} is empty; restore it from a copy.")
    searching = FileLock(path).is_held()
    try:
        connection = connect_read_only(path)
    except _DATABASE_ERRORS as error:
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise storage_error(path, error) from error
        return CheckedFile(path, searching, (), (Finding("file", f"The file cannot be read: {error}."),))
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # damaged texts are found all the same
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    studies: tuple[CheckedStudy, ...] = ()
    findings: tuple[Finding, ...] = ()
    with closing(connection), engine.connect() as reader:
        with storage_faults(path):
            reader.exec_driver_sql("begin")  # all that follows is of one state
        damages = list(_file_findings(connection))
        try:
            _ensure_ours(connection, path)
        except (*_DATABASE_ERRORS, StorageError) as error:
            if not damages:
                raise storage_error(path, error) if isinstance(error, sqlite3.Error) else error from None
        else:
            studies, findings = _check_studies(reader)
    return CheckedFile(path, searching, studies, (*damages, *findings))


def _check_server(location: str | Path) -> CheckedFile:
    from sqlalchemy import NullPool

    from storage.server import ServerLock, make_engine

    with Store.open(location, read_only=True) as store:  # says what is wrong where there are no studies
        searching = any(ServerLock(location, name).is_held() for name in store.studies())
    with storage_faults(location):
        engine = make_engine(location, read_only=True, poolclass=NullPool, isolation_level="REPEATABLE READ")
        with engine.connect() as reader:
            studies, findings = _check_studies(reader)
    return CheckedFile(redacted(location), searching, studies, findings)


def _check_studies(connection: Connection) -> tuple[tuple[CheckedStudy, ...], tuple[Finding, ...]]:
    rows = Rows(connection)
    names = rows.names()
    # Earlier versions had no confirmations.
    lacking = [table for table in (*COLUMNS, *_OPTUNA_TABLES) if table not in names and table != "ecad_confirmations"]
    if lacking:
        return (), tuple(Finding("file", f"The table {table} is missing.") for table in lacking)
    try:
        known = rows.studies()
        checked = [check_study(rows, name) for name in known]
    except LookupError as error:
        return (), (*rows.findings, Finding("file", f"Our tables lack the column {error}."))
    findings = [finding for _, found in checked for finding in found]
    for table, columns in COLUMNS.items():
        if "study" in columns and table in names:
            strays = sorted(set(rows.studies(table)) - set(known))
            findings += [Finding("study", f"The table {table} has rows of {name!r}, no study.") for name in strays]
    return tuple(study for study, _ in checked), (*findings, *rows.findings)


def _file_findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    try:
        for (line,) in connection.execute(f"pragma integrity_check({_MOST})"):
            for part in str(line).splitlines():
                if part != "ok" and not part.startswith("***"):
                    yield Finding("file", f"SQLite finds the file damaged: {part.rstrip('.')}.")
        for table, row, parent, _ in connection.execute("pragma foreign_key_check").fetchmany(_MOST):
            yield Finding("file", f"Row {row} of the table {table} belongs to a row of {parent} that is not there.")
    except _DATABASE_ERRORS as error:
        yield Finding("file", f"SQLite cannot check the file: {error}.")


def _ensure_ours(connection: sqlite3.Connection, path: Path) -> None:
    """See that the file is one of ours, of a version that is known; else raise a StorageError."""
    if not connection.execute("select 1 from sqlite_master where name = 'ecad_meta'").fetchall():
        raise StorageError(f"The database {path} holds no study of ecad-automl; check the path.")
    row = connection.execute("select value from ecad_meta where key = 'schema_version'").fetchone()
    check_version(row[0] if row else None, path)
