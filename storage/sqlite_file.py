"""Connections to a SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from storage.faults import BUSY_SECONDS


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
