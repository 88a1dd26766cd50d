"""An open SQLite file: transactions, and errors as sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sqlite_utils import Database

from storage.faults import BUSY_SECONDS, sqlite_faults

__all__ = ["SqliteFile", "connect", "connect_read_only"]


class SqliteFile:
    """One connection to one file; a context manager that closes itself.

    Args:
        path: the file.
        connection: to it, in autocommit mode.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._database = Database(connection)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Take the write lock first, so that what is read inside cannot change before the write."""
        with sqlite_faults(self._path):
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def _rows(self, sql: str, *arguments: str) -> list[dict[str, Any]]:
        with sqlite_faults(self._path):
            return list(self._database.query(sql, arguments))


def connect(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open a file, or make it; transactions are begun by hand."""
    return _connect(path, busy_seconds, "mode=rwc")


def connect_read_only(path: Path, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open a file, of which nothing can be changed.

    A file in WAL mode needs an index beside it; in a folder that cannot be written it is read as it is instead. That is
    safe where no log lies beside it: then nobody writes to it.
    """
    try:
        return _connect(path, busy_seconds, "mode=ro")
    except sqlite3.OperationalError as error:
        no_index = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not no_index or Path(f"{path}-wal").exists():
            raise
        return _connect(path, busy_seconds, "mode=ro&immutable=1")


def _connect(path: Path, busy_seconds: float, options: str) -> sqlite3.Connection:
    where = f"file:{quote(str(path))}?{options}"
    connection = sqlite3.connect(where, uri=True, timeout=busy_seconds, isolation_level=None)
    try:
        connection.execute("select count(*) from sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
