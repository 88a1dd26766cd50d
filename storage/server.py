"""Connections to a database on a server."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS, storage_faults
from storage.location import redacted, server_url

#: How a connection is called on the server, before the process and the machine.
APPLICATION = "ecad-automl"
#: Seconds after which a connection that says nothing is given up.
_SILENCE = 60
#: A lock is known by a number of 64 bits in the database, of which the two halves are shown.
_HOLDER = """
    select coalesce(a.application_name, '') from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and l.classid = cast(:high as oid) and l.objid = cast(:low as oid)
"""


def make_engine(
    location: str | Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS, **options: Any
) -> Engine:
    """An engine whose connections are checked before each use, so that a restart of the server is survived.

    Args:
        location: the URL.
        read_only: let the server refuse every write.
        busy_seconds: how long a statement waits for the locks of others.
        options: of :func:`sqlalchemy.create_engine`.

    Raises:
        StorageError: the URL is wrong, or the driver is not installed.
    """
    arguments = connect_arguments(location)
    engine = create_engine(server_url(location), pool_pre_ping=True, connect_args=arguments, **options)
    set_up_connections(engine, read_only=read_only, busy_seconds=busy_seconds)
    return engine


def connect_arguments(location: str | Path) -> dict[str, Any]:
    """Arguments of the driver; what the URL says goes before.

    Raises:
        StorageError: the URL is wrong, or the driver is not installed.
    """
    url = make_url(server_url(location))
    if importlib.util.find_spec("psycopg") is None:
        raise StorageError(
            "A study in PostgreSQL needs psycopg, which is not installed; install it with pip install "
            "'ecad-automl[postgresql]'."
        )
    name = f"{APPLICATION} {os.getpid()}@{socket.gethostname()}"
    arguments: dict[str, Any] = {
        "application_name": name[:63],
        "connect_timeout": 10,
        # A server that is gone without a word is noticed after a minute, not after hours.
        "keepalives_idle": _SILENCE,
        "keepalives_interval": 10,
        "keepalives_count": 6,
        "tcp_user_timeout": _SILENCE * 1000,
    }
    return {key: value for key, value in arguments.items() if key not in url.query}


def set_up_connections(
    engine: Engine, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS, durable: bool = True
) -> None:
    """Settings of every connection that the engine makes from now on.

    Args:
        engine: on a server.
        read_only: let the server refuse every write.
        busy_seconds: how long a statement waits for the locks of others.
        durable: whether a commit waits until it is on the disk of the server.
    """
    settings = [f"SET lock_timeout = {max(int(busy_seconds * 1000), 1)}"]
    settings += ["SET default_transaction_read_only = on"] * read_only
    settings += ["SET synchronous_commit = off"] * (not durable)

    def set_up(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            for setting in settings:
                cursor.execute(setting)
        connection.commit()

    event.listen(engine, "connect", set_up)


class ServerLock:
    """A lock that the server holds for one connection, and frees when that ends, whatever ends it.

    Args:
        location: the URL.
        study: what is locked; the name stands in messages.
        schema: lock the making of tables instead.
    """

    def __init__(self, location: str | Path, study: str, *, schema: bool = False) -> None:
        self._location = location
        self._what = f"making the tables in {redacted(location)}"
        self.advice = "try again when it is done"
        if not schema:
            self._what = f"running on the study {study!r} in {redacted(location)}"
            self.advice = "wait for it or stop it, or use another study name"
        with storage_faults(location):
            self._engine = make_engine(location, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        name = f"{self._engine.url.database}\0{'tables' if schema else 'study'}\0{study}"
        self._digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()

    def acquire(self) -> str | None:
        """Try to get it; None if that worked, else a sentence that says who has it.

        Raises:
            StorageError: the server cannot be reached.
        """
        with storage_faults(self._location):
            if self._connection is None:
                self._connection = self._engine.connect()
            key = int.from_bytes(self._digest, signed=True)
            if self._connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar():
                return None
            return f"Another search ({self._holder(self._connection)}) is {self._what}"

    def ensure(self) -> None:
        """Make sure that it is still held, and get it back where a broken connection has lost it.

        Raises:
            StorageError: another process has it by now, or the server cannot be reached.
        """
        if self._connection is not None:
            try:
                self._connection.execute(text("select 1")).close()
            except SQLAlchemyError:
                self._drop()
            else:
                return
        busy = self.acquire()
        if busy is not None:
            self._drop()
            raise StorageError(
                f"The connection that kept others from this study broke, and by now there is another driver: {busy}; "
                "this one stops."
            )

    def is_held(self) -> bool:
        """Whether anyone has it; it is not taken.

        Raises:
            StorageError: the server cannot be reached.
        """
        with storage_faults(self._location), self._engine.connect() as connection:
            return self._application(connection) is not None

    def release(self) -> None:
        """Give it back, if it is held."""
        self._drop()
        self._engine.dispose()

    def _drop(self) -> None:
        """Close the connection, and the lock with it."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def _holder(self, connection: Connection) -> str:
        """Who has it, as far as the server tells."""
        found = re.fullmatch(rf"{APPLICATION} (\d+)@(.+)", self._application(connection) or "")
        return f"process {found[1]} on {found[2]}" if found else "of another user"

    def _application(self, connection: Connection) -> str | None:
        """What the one who has it calls itself; None where nobody has it."""
        high, low = int.from_bytes(self._digest[:4]), int.from_bytes(self._digest[4:])
        return connection.execute(text(_HOLDER), {"high": high, "low": low}).scalar()
