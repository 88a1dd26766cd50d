"""Connections to a database on a server."""

from __future__ import annotations

import importlib.util
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url

from ecad_automl.errors import StorageError
from storage.faults import BUSY_SECONDS
from storage.location import server_url

#: How a connection is called on the server, before the process and the machine.
APPLICATION = "ecad-automl"
#: Seconds after which a connection that says nothing is given up.
_SILENCE = 60


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
