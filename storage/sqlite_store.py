"""A study database in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS, sqlite_faults
from storage.location import database_path
from storage.sqlite_file import SqliteFile, connect, connect_read_only
from storage.store import Store
from storage.tables import (
    KEYS,
    OPTUNA_TABLES,
    check_version,
    columns_of,
    create_tables,
    lacks_columns,
    trial_attributes_sql,
)

__all__ = ["SqliteStore", "open_sqlite_store"]


class SqliteStore(SqliteFile, Store):
    """Our tables in a SQLite file, made and written by sqlite-utils."""

    @property
    def location(self) -> str:
        """The file."""
        return str(self._path)

    def trial_attributes(self, study: str, key: str, *, system: bool = False) -> dict[int, Any]:
        """An attribute of Optuna's trials; see :meth:`Store.trial_attributes`."""
        with sqlite_faults(self._path):
            if not set(self._database.table_names()) >= OPTUNA_TABLES:
                return {}
            rows = list(self._database.query(trial_attributes_sql(system=system), {"study": study, "key": key}))
        with self._damaged_rows():
            return {row["number"]: json.loads(row["value_json"]) for row in rows}

    def prepare(self, *, create: bool) -> None:
        """Check that our tables are there, in a version that this code can use, and make them if asked."""
        if create and self._connection.execute("pragma journal_mode").fetchone()[0] != "wal":
            self._connection.execute("pragma journal_mode = wal").fetchone()
        if check_version(self._database, self._path):
            if create and lacks_columns(self._database):
                with self._transaction():
                    create_tables(self._database)
            return
        if not create:
            raise StorageError(
                f"The database {self._path} holds no study of ecad-automl; check the path, or start a search to make "
                "one."
            )
        with self._transaction():
            create_tables(self._database)

    def _put(self, table: str, row: Mapping[str, Any]) -> None:
        with self._transaction():
            if not self._database.table(table).exists():  # a file of an earlier version
                create_tables(self._database)
            self._database.table(table).upsert(dict(row), pk=KEYS[table])

    def _claim(self, row: Mapping[str, Any]) -> str:
        with self._transaction():
            self._database.table("ecad_studies").insert(dict(row), ignore=True)
            return str(self._get("ecad_studies", ["identity"], {"study": row["study"]})[0]["identity"])

    def _get(self, table: str, columns: Sequence[str], where: Mapping[str, str]) -> list[dict[str, Any]]:
        with sqlite_faults(self._path):
            found = self._database.table(table)
            if not found.exists():  # a file of an earlier version
                return []
            known = set(columns_of(self._database, table))
            select = ", ".join(name for name in columns if name in known)
            condition = " and ".join(f"{name} = :{name}" for name in where) or None
            return list(found.rows_where(condition, dict(where), select=select, order_by="rowid"))


def open_sqlite_store(
    location: str | Path, *, create: bool = True, read_only: bool = False, busy_seconds: float = BUSY_SECONDS
) -> SqliteStore:
    """See :meth:`storage.Store.open`."""
    path = database_path(location)
    if not path.exists() and (read_only or not create):
        raise StorageError(f"There is no study database at {path}; check the path, or start a search to make it.")
    with sqlite_faults(path):
        connection = connect_read_only(path, busy_seconds) if read_only else connect(path, busy_seconds)
        try:
            store = SqliteStore(path, connection)
            store.prepare(create=create and not read_only)
        except BaseException:
            connection.close()
            raise
    return store
