"""Advisory locks of a server, one per study."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ecad_automl.errors import StorageError
from storage.faults import storage_faults
from storage.location import redacted
from storage.server import APPLICATION, make_engine

#: A lock is known by a number of 64 bits in the database, of which the two halves are shown.
_HOLDER = """
    select coalesce(a.application_name, '') from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and l.classid = cast(:high as oid) and l.objid = cast(:low as oid)
"""


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
