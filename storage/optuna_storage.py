"""Optuna's storage in the study database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS, storage_faults
from storage.location import database_path, is_server, optuna_url, redacted
from storage.lock import table_lock

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


def open_optuna_storage(location: str | Path, *, busy_seconds: float = BUSY_SECONDS) -> RDBStorage:
    """Open Optuna's tables in a study database, and make them where they are missing.

    A file is put into WAL mode, so that the dashboard can read while a search writes. Errors of later calls of the
    storage can be turned into sentences by :func:`storage.storage_faults`.

    Args:
        location: a path or URL.
        busy_seconds: how long each connection waits for another writer.

    Raises:
        StorageError: the location is no database, is locked, cannot be reached or written, or its tables are of another
            Optuna.
    """
    with storage_faults(location), table_lock(location, busy_seconds):
        if is_server(location):
            return _on_server(location, busy_seconds)
        from sqlalchemy import event

        with closing(sqlite3.connect(database_path(location), timeout=busy_seconds)) as connection:
            connection.execute("pragma journal_mode = wal").fetchone()
        storage = _made(location, {"connect_args": {"timeout": busy_seconds}})
        event.listen(storage.engine, "connect", _sync_less)
        storage.engine.dispose()  # connections made before the listener
        return storage


@contextmanager
def optuna_storage(location: str | Path) -> Iterator[RDBStorage]:
    """Optuna's storage for the time of a block; its connections are closed at the end.

    Args:
        location: a path or URL.
    """
    storage = open_optuna_storage(location)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def open_served_storage(location: str | Path) -> RDBStorage:
    """Optuna's storage as the dashboard reads it: nothing is made or changed by opening it.

    Args:
        location: a path or URL.

    Raises:
        StorageError: see :func:`open_optuna_storage`.
    """
    from storage._page_storage import PageStorage

    def served(make: Callable[..., RDBStorage] | None = None) -> RDBStorage:
        if is_server(location):
            return _on_server(location, BUSY_SECONDS, as_it_is=True, make=make)
        return _made(location, {"connect_args": {"timeout": BUSY_SECONDS}}, as_it_is=True, make=make)

    with storage_faults(location):
        return served(partial(PageStorage, served()))


def _on_server(
    location: str | Path,
    busy_seconds: float,
    *,
    as_it_is: bool = False,
    make: Callable[..., RDBStorage] | None = None,
) -> RDBStorage:
    from sqlalchemy.pool import NullPool

    from storage.server import connect_arguments, set_up_connections

    arguments = connect_arguments(location)
    # Optuna's own, when it fails, leaves open what it has in a pool.
    _made(location, {"poolclass": NullPool, "connect_args": arguments}, as_it_is=as_it_is)
    storage = _made(location, {"pool_pre_ping": True, "connect_args": arguments}, as_it_is=True, make=make)
    # As for a file, see _sync_less.
    set_up_connections(storage.engine, busy_seconds=busy_seconds, durable=False)
    storage.engine.dispose()  # connections made before
    return storage


def _made(
    location: str | Path,
    options: dict[str, Any],
    *,
    as_it_is: bool = False,
    make: Callable[..., RDBStorage] | None = None,
) -> RDBStorage:
    from optuna.storages import RDBStorage

    # Optuna fills braces in the URL as a template, so those of a path or password are doubled.
    url = optuna_url(location).replace("{", "{{").replace("}", "}}")
    make = make or RDBStorage
    try:
        return make(url, engine_kwargs=options, skip_compatibility_check=as_it_is, skip_table_creation=as_it_is)
    except RuntimeError as error:  # tables of another version of Optuna
        raise StorageError(f"Optuna cannot use the study database {redacted(location)}: {error}") from error


def _sync_less(connection: sqlite3.Connection, _record: object) -> None:
    """Do not wait for the disk at each commit of a trial.

    In WAL mode a killed process still loses nothing; only a power cut can take the last trials, whose evaluations are
    in our own tables, where every write is waited for, and are told to Optuna again.
    """
    connection.execute("pragma synchronous = normal")
