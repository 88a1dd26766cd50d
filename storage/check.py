"""Whether a study database is whole: as a SQLite file, and in what it says."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlite_utils import Database

from ecad_automl.errors import StorageError
from storage.check_rows import DATABASE_ERRORS, Rows
from storage.check_study import check_study
from storage.faults import sqlite_faults, storage_error
from storage.findings import Finding
from storage.location import database_path, is_server, shown
from storage.lock import is_locked
from storage.sqlite_file import connect_read_only
from storage.store import Store
from storage.tables import COLUMNS, check_version, columns_of

__all__ = ["CheckedFile", "CheckedStudy", "Finding", "check_database"]

#: What SQLite lists of its damages at most.
_MOST = 50

_OPTUNA_TABLES = (
    *("studies", "study_directions", "study_system_attributes", "study_user_attributes", "trial_system_attributes"),
    *("trial_user_attributes", "trial_values", "trials"),
)


@dataclass(frozen=True)
class CheckedStudy:
    """What was looked at of one study.

    Attributes:
        name: of the study.
        trials: how many it has.
        evaluations: how many schedules were evaluated.
    """

    name: str
    trials: int
    evaluations: int


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
    findings: tuple[Finding, ...] = field(default=())


def check_database(location: str | Path) -> CheckedFile:
    """Check a study database, of one state of it even while a search goes on.

    That is: SQLite's own checks of the file; that all tables are there; and of every study that identity, records,
    trials, generations and calibration can be read and say the same. Nothing is written. A server checks its files
    itself; of a database on one the studies are checked.

    Args:
        location: a path or URL.

    Raises:
        StorageError: there is no file, it is no SQLite file, holds no study of ecad-automl, or was written by a newer
            version; or the server cannot be reached or read.
    """
    if is_server(location):
        return _check_server(location)
    path = database_path(location)
    if not path.is_file():
        raise StorageError(f"There is no study database at {path}; check the path.")
    if not path.stat().st_size:
        raise StorageError(f"The study database {path} is empty; restore it from a copy.")
    searching = is_locked(path)
    findings: list[Finding] = []
    studies: list[CheckedStudy] = []
    try:
        connection = connect_read_only(path)
    except DATABASE_ERRORS as error:
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise storage_error(path, error) from error
        return CheckedFile(path, searching, (), (Finding("file", f"The file cannot be read: {error}."),))
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # damaged texts are found all the same
    with closing(connection):
        with sqlite_faults(path):
            connection.execute("begin")  # all that follows is of one state
        findings += _file_findings(connection)
        if not _is_ours(connection, path, damaged=bool(findings)):
            return CheckedFile(path, searching, (), tuple(findings))
        lacking = list(_table_findings(connection))
        if lacking:
            return CheckedFile(path, searching, (), (*findings, *lacking))
        rows = Rows(connection)
        studies += [_checked(rows, name, findings, searching=searching) for name in rows.studies()]
        findings += rows.findings
    return CheckedFile(path, searching, tuple(studies), tuple(findings))


def _check_server(location: str | Path) -> CheckedFile:
    from storage.check_server import is_searching, server_copy

    with Store.open(location, read_only=True) as store:  # says what is wrong where there are no studies
        searching = {name: is_searching(location, name) for name in store.studies()}
    findings: list[Finding] = []
    with server_copy(location, (*COLUMNS, *_OPTUNA_TABLES)) as connection:
        lacking = list(_table_findings(connection))
        rows = Rows(connection)
        names = [] if lacking else rows.studies()
        studies = [_checked(rows, name, findings, searching=searching.get(name, True)) for name in names]
        findings += [*lacking, *rows.findings]
    return CheckedFile(shown(location), any(searching.values()), tuple(studies), tuple(findings))


def _checked(rows: Rows, name: str, findings: list[Finding], *, searching: bool) -> CheckedStudy:
    found = check_study(rows, name, searching=searching)
    findings += found.findings
    return CheckedStudy(name, found.trials, found.evaluations)


def _file_findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    try:
        for (line,) in connection.execute(f"pragma integrity_check({_MOST})"):
            for part in str(line).splitlines():
                if part != "ok" and not part.startswith("***"):
                    yield Finding("file", f"SQLite finds the file damaged: {part.rstrip('.')}.")
        for table, row, parent, _ in connection.execute("pragma foreign_key_check").fetchmany(_MOST):
            yield Finding("file", f"Row {row} of the table {table} belongs to a row of {parent} that is not there.")
    except DATABASE_ERRORS as error:
        yield Finding("file", f"SQLite cannot check the file: {error}.")


def _is_ours(connection: sqlite3.Connection, path: Path, *, damaged: bool) -> bool:
    """Whether there is anything more to look at.

    Raises:
        StorageError: the file is sound, but none of ours, or of a newer version.
    """
    try:
        known = check_version(Database(connection), path)
    except (*DATABASE_ERRORS, StorageError) as error:
        if damaged:
            return False
        raise storage_error(path, error) if isinstance(error, sqlite3.Error) else error from None
    if not known and not damaged:
        raise StorageError(f"The database {path} holds no study of ecad-automl; check the path.")
    return known


def _table_findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    database = Database(connection)
    try:
        names = set(database.table_names())
        for table in (*COLUMNS, *_OPTUNA_TABLES):
            if table not in names and table != "ecad_confirmations":  # which earlier versions did not have
                yield Finding("file", f"The table {table} is missing.")
        for table in COLUMNS:
            if table in names:
                for column in sorted(set(columns_of(database, table)) - set(database.table(table).columns_dict)):
                    yield Finding("file", f"The table {table} lacks the column {column}.")
    except DATABASE_ERRORS as error:
        yield Finding("file", f"The list of tables cannot be read: {error}.")
