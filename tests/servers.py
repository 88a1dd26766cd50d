"""A PostgreSQL server that tests start for themselves: on loopback, in a temporary folder, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

__all__ = ["PASSWORD", "USER", "PostgresServer", "postgresql_server"]

USER = "ecad"
#: With all that a URL must escape, and the braces that Optuna fills in.
PASSWORD = "s3:/@#?%{x}cret"
#: Who runs a server, which no server lets root do.
_ACCOUNTS = ("postgres", "nobody")


class PostgresServer:
    """A server with databases of their own for all who ask.

    Args:
        binaries: the folder of ``initdb`` and ``postgres``.
    """

    scheme = "postgresql+psycopg"

    def __init__(self, binaries: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ecad-db-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made: set[str] = set()
        self._owner: dict[str, Any] = {}
        if os.getuid() == 0:
            account = next(found for name in _ACCOUNTS if (found := _account(name)) is not None)
            self._owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._binaries = binaries
        secret = self.folder / "password"
        secret.write_text(f"{PASSWORD}\n")
        self._run(
            *(str(binaries / "initdb"), "-D", str(self.folder / "data"), "-U", USER, "--pwfile", str(secret)),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        )

    def url(self, database: str, *, user: str = USER, password: str | None = PASSWORD, port: int | None = None) -> str:
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"{self.scheme}://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    def empty_database(self, name: str = "studies") -> str:
        """The URL of a database that is empty, whatever an earlier test has left in it."""
        if name in self._made:
            self._clear(name)
        else:
            self.execute(f"create database {name}")
            self._made.add(name)
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log_file:
            self._process = subprocess.Popen(
                self._command(),
                stdout=subprocess.DEVNULL,
                stderr=log_file,
                start_new_session=True,
                cwd=self.folder,
                **self._owner,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                self.execute("select 1")
            except Exception:  # noqa: BLE001 - drivers have errors of their own
                log = (self.folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            # Children notice, and end.
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=self.folder, timeout=300, **self._owner
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "40",
            "shared_buffers": "16MB",
            # Nobody pulls the plug of a test.
            "fsync": "off",
            "full_page_writes": "off",
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        data = ("-D", str(self.folder / "data"), "-p", str(self.port))
        return [str(self._binaries / "postgres"), *data, *options]

    def _clear(self, database: str) -> None:
        # Faster than another database, which is a copy of hundreds of files.
        self.execute(
            "drop schema public cascade",
            "create schema public",
            "grant usage on schema public to public",
            database=database,
        )

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the owner of the server."""
        import psycopg

        where = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        with closing(
            psycopg.connect(dbname=database or "postgres", autocommit=True, connect_timeout=5, **where)  # type: ignore[arg-type]
        ) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server; skips where none is installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    folders = [Path("/usr/lib/postgresql")] if Path("/usr/lib/postgresql").is_dir() else []
    found = [path for folder in folders for path in folder.glob("*/bin/initdb")]
    found += [Path(path).resolve() for path in [shutil.which("initdb")] if path is not None]
    if not found:
        pytest.skip("no PostgreSQL server is installed (initdb was not found)")
    server = PostgresServer(max(found, key=_version).parent)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _version(initdb: Path) -> int:
    name = initdb.parents[1].name
    return int(name) if name.isdigit() else 0


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
