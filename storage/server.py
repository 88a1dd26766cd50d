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

__all__ = ["APPLICATION", "connect_arguments", "make_engine", "set_up_connections"]

#: How a connection is called on the server, before the process and the machine.
APPLICATION = "ecad-automl"
#: Seconds after which a connection that says nothing is given up.
_SILENCE = 60
_EXTRAS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}


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
    kind = url.get_backend_name()
    driver, extra = _EXTRAS[kind]
    if importlib.util.find_spec(driver) is None:
        raise StorageError(
            f"A study in {kind} needs {driver}, which is not installed; install it with pip install "
            f"'ecad-automl[{extra}]'."
        )
    name = f"{APPLICATION} {os.getpid()}@{socket.gethostname()}"
    arguments: dict[str, Any] = {"connect_timeout": 10}
    if kind == "postgresql":
        # A server that is gone without a word is noticed after a minute, not after hours.
        arguments |= {"application_name": name[:63], "keepalives_idle": _SILENCE, "keepalives_interval": 10}
        arguments |= {"keepalives_count": 6, "tcp_user_timeout": _SILENCE * 1000}
    else:
        arguments |= {"program_name": name, "read_timeout": _SILENCE, "write_timeout": _SILENCE, "charset": "utf8mb4"}
    return {key: value for key, value in arguments.items() if key not in url.query}


def set_up_connections(
    engine: Engine, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS, durable: bool = True
) -> None:
    """Settings of every connection that the engine makes from now on.

    Args:
        engine: on a server.
        read_only: let the server refuse every write.
        busy_seconds: how long a statement waits for the locks of others.
        durable: whether a commit waits until it is on the disk of the server, where that can be chosen.
    """
    if engine.dialect.name == "postgresql":
        settings = [f"SET lock_timeout = {max(int(busy_seconds * 1000), 1)}"]
        settings += ["SET default_transaction_read_only = on"] * read_only
        settings += ["SET synchronous_commit = off"] * (not durable)
    else:
        seconds = max(int(busy_seconds), 1)
        settings = [f"SET SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}"]
        # Otherwise an old server cuts off what is too long.
        settings += ["SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"]
        settings += ["SET SESSION TRANSACTION READ ONLY"] * read_only

    def set_up(connection: Any, _record: object) -> None:
        with closing(connection.cursor()) as cursor:
            for setting in settings:
                cursor.execute(setting)
        connection.commit()

    event.listen(engine, "connect", set_up)
