"""Checking a study database on a server: its rows, as one transaction sees them, looked at as those of a file."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from storage.server import make_engine
from storage.server_faults import server_faults
from storage.server_lock import ServerLock

__all__ = ["is_searching", "server_copy"]


@contextmanager
def server_copy(location: str | Path, tables: tuple[str, ...]) -> Iterator[sqlite3.Connection]:
    """The rows of tables in a SQLite database in memory; tables that the server lacks are not in it.

    Args:
        location: the URL.
        tables: names.

    Raises:
        StorageError: the server cannot be reached or read.
    """
    with closing(sqlite3.connect(":memory:")) as copy:
        with server_faults(location):
            engine = make_engine(location, read_only=True, pool_size=1, isolation_level="REPEATABLE READ")
            try:
                with engine.connect() as connection:
                    there = set(inspect(connection).get_table_names())
                    for table in tables:
                        if table in there:
                            _copy(connection, copy, table)
            finally:
                engine.dispose()
        copy.commit()
        yield copy


def is_searching(location: str | Path, study: str) -> bool:
    """Whether a search holds the lock of a study."""
    lock = ServerLock(location, study)
    try:
        return lock.is_held()
    finally:
        lock.release()


def _copy(connection: Connection, copy: sqlite3.Connection, table: str) -> None:
    quote = connection.dialect.identifier_preparer.quote
    names = [column["name"] for column in inspect(connection).get_columns(table)]
    # The first column numbers the rows of every table, ours and Optuna's.
    rows = connection.execution_options(stream_results=True).execute(
        text(f"select {', '.join(map(quote, names))} from {table} order by {quote(names[0])}")  # noqa: S608 - our own
    )
    columns = ", ".join(f'"{name}"' for name in names)
    copy.execute(f"create table {table} ({columns})")
    insert = f"insert into {table} values ({', '.join('?' * len(names))})"  # noqa: S608 - our own
    for part in rows.partitions(1000):
        copy.executemany(insert, [tuple(map(_plain, row)) for row in part])


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value.name if isinstance(value, enum.Enum) else value
