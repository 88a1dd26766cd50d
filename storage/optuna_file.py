"""Optuna's storage in the study database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS, sqlite_faults
from storage.location import database_path, optuna_url

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["open_optuna_storage"]


def open_optuna_storage(location: str | Path, *, busy_seconds: float = BUSY_SECONDS) -> RDBStorage:
    """Open Optuna's tables in a study database, and make them where they are missing.

    The file is put into WAL mode, so that the dashboard can read while a search writes. Errors of later calls of the
    storage can be turned into sentences by :func:`storage.sqlite_faults`.

    Args:
        location: a path or ``sqlite:///`` URL.
        busy_seconds: how long each connection waits for another writer.

    Raises:
        StorageError: the location is no SQLite file, is locked, cannot be written, or its tables are of another Optuna.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy import event

    path = database_path(location)
    with sqlite_faults(path):
        with closing(sqlite3.connect(path, timeout=busy_seconds)) as connection:
            connection.execute("pragma journal_mode = wal").fetchone()
        # Optuna fills braces in the URL as a template, so those of the path are doubled.
        url = optuna_url(path).replace("{", "{{").replace("}", "}}")
        try:
            storage = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": busy_seconds}})
        except RuntimeError as error:  # tables of another version of Optuna
            raise StorageError(f"Optuna cannot use the study database {path}: {error}") from error
        event.listen(storage.engine, "connect", _sync_less)
        storage.engine.dispose()  # connections made before the listener
        return storage


def _sync_less(connection: sqlite3.Connection, _record: object) -> None:
    """Do not wait for the disk at each of the forty commits that Optuna makes for a trial.

    In WAL mode a killed process still loses nothing; only a power cut can take the last trials, whose evaluations are
    in our own tables, where every write is waited for, and are told to Optuna again.
    """
    connection.execute("pragma synchronous = normal")
