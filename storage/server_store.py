"""A study database on a server: PostgreSQL or MySQL."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS
from storage.location import shown
from storage.lock import WriterLock, hold
from storage.server import make_engine
from storage.server_faults import is_deadlock, server_faults
from storage.server_lock import ServerLock
from storage.server_tables import METADATA, insert_unless_there, row_key, table_of, upsert
from storage.store import Store
from storage.tables import KEYS, OPTUNA_TABLES, SCHEMA_VERSION, checked_version, trial_attributes_sql

__all__ = ["ServerStore", "open_server_store"]

T = TypeVar("T")

#: A transaction that was undone, or whose connection had broken, is tried so many times.
_TRIES = 5


class ServerStore(Store):
    """Our tables beside Optuna's in a database on a server, through SQLAlchemy.

    Args:
        location: the URL.
        engine: for it.
        lock: that must be held whenever something is written; None where nobody cares.
    """

    def __init__(self, location: str | Path, engine: Engine, lock: WriterLock | None) -> None:
        self._url = location
        self._location = shown(location)
        self._engine = engine
        self._dialect = engine.dialect.name
        self._lock = lock
        self._closed = False

    @property
    def location(self) -> str:
        """The URL without its password."""
        return self._location

    @property
    def path(self) -> None:
        """None: there is no file."""

    def close(self) -> None:
        """Close all connections; may be called twice."""
        self._closed = True
        self._engine.dispose()

    def prepare(self, *, create: bool, busy_seconds: float) -> None:
        """Check that our tables are there, in a version that this code can use, and make them if asked."""
        meta = table_of("ecad_meta")
        if not self._run(lambda connection: inspect(connection).has_table(meta.name)):
            if not create:
                raise StorageError(
                    f"The database {self._location} holds no study of ecad-automl; check the URL, or start a search to "
                    "make one."
                )
            version = {"key": "schema_version", "value": str(SCHEMA_VERSION)}
            with hold(ServerLock(self._url, "", schema=True), wait=busy_seconds):
                # The version comes last: on MySQL every table is there at once, whatever comes after it.
                others = [table for table in METADATA.sorted_tables if table is not meta]
                self._run(lambda connection: METADATA.create_all(connection, others))
                self._run(lambda connection: METADATA.create_all(connection, [meta]))
                self._run(lambda connection: connection.execute(insert_unless_there(meta.name, version, self._dialect)))
        found = self._get(meta.name, ["value"], {"key": "schema_version"})
        checked_version(found[0]["value"] if found else None, self._location)

    def trial_attributes(self, study: str, key: str, *, system: bool = False) -> dict[int, Any]:
        """An attribute of Optuna's trials; see :meth:`Store.trial_attributes`."""
        if not set(self._run(lambda connection: inspect(connection).get_table_names())) >= OPTUNA_TABLES:
            return {}
        query, values = text(trial_attributes_sql(system=system)), {"study": study, "key": key}
        rows = self._run(lambda connection: connection.execute(query, values).all())
        with self._damaged_rows():
            return {number: json.loads(value) for number, value in rows}

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        self._write(lambda connection: connection.execute(upsert(table, row, self._dialect)))

    def _claim(self, row: Mapping[str, Any]) -> str:
        table = table_of("ecad_studies")
        query = select(table.c.identity).where(table.c.row_key == row_key(table.name, row))

        def claim(connection: Connection) -> str:
            connection.execute(insert_unless_there(table.name, row, self._dialect))
            return str(connection.execute(query).scalar_one())

        return self._write(claim)

    def _get(self, table: str, columns: Sequence[str], where: Mapping[str, str]) -> list[dict[str, Any]]:
        found = table_of(table)
        named = dict.fromkeys([*columns, *where])
        query = select(*(found.c[name] for name in named)).order_by(found.c.id)
        if set(where) == set(KEYS[table]):
            query = query.where(found.c.row_key == row_key(table, where))
        else:
            query = query.where(*(found.c[name] == value for name, value in where.items()))
        rows = self._run(lambda connection: connection.execute(query).mappings().all())
        # MySQL takes "a" and "a " for the same text.
        exact = [row for row in rows if all(row[name] == value for name, value in where.items())]
        return [{name: _plain(row[name]) for name in columns} for row in exact]

    def _write(self, work: Callable[[Connection], T]) -> T:
        def locked(connection: Connection) -> T:
            if self._lock is not None:
                self._lock.ensure()
            return work(connection)

        return self._run(locked)

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Do something that may be done twice in a transaction."""
        with server_faults(self._location):
            if self._closed:
                raise StorageError(f"The study database {self._location} is closed; open it again.")
            for tried in range(1, _TRIES + 1):
                try:
                    with self._engine.begin() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if tried == _TRIES or not (is_deadlock(error) or error.connection_invalidated):
                        raise
                time.sleep(random.uniform(0, 0.1 * tried))  # noqa: S311 - not for secrets
            raise AssertionError


def open_server_store(
    location: str | Path,
    *,
    create: bool = True,
    read_only: bool = False,
    busy_seconds: float = BUSY_SECONDS,
    lock: WriterLock | None = None,
) -> ServerStore:
    """See :meth:`storage.Store.open`."""
    with server_faults(location):
        engine = make_engine(
            location,
            read_only=read_only,
            busy_seconds=busy_seconds,
            pool_size=1,
            # What another process has committed is seen by the next query.
            isolation_level="READ COMMITTED",
        )
        store = ServerStore(location, engine, lock)
        try:
            store.prepare(create=create and not read_only, busy_seconds=busy_seconds)
        except BaseException:
            store.close()
            raise
    return store


def _plain(value: Any) -> Any:
    """Bytes of a driver as Python's."""
    return bytes(value) if isinstance(value, (memoryview, bytearray)) else value
