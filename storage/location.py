"""Where a study database is: a path, a SQLite URL, or the URL of a PostgreSQL database."""

from __future__ import annotations

import re
from pathlib import Path

from ecad_automl.errors import StorageError
from ecad_automl.files.paths import expand_home

# Also of schemes that nobody can have: what is mistyped must not show its password either.
_URL = re.compile(r"(?P<scheme>[^/:@]+)://(?P<rest>.*)", re.DOTALL)

#: The dialect and driver of SQLAlchemy that is used, and tested.
_SERVER_SCHEME = "postgresql+psycopg"

#: What stands between ``://`` and the query: user and password, host and port, database.
_SERVER = re.compile(
    r"(?:[^:/@]*(?::[^@]*)?@)?(?P<host>\[[^\]/?]+\]|[^:/?]*)(?::(?P<port>[^/?]*))?(?:/(?P<database>[^?]*))?(?:\?.*)?",
    re.DOTALL,
)


def is_server(location: str | Path) -> bool:
    """Whether a location is the URL of a database on a server, whatever else may be wrong with it."""
    return _server_scheme(location) is not None


def server_url(location: str | Path) -> str:
    """The SQLAlchemy URL of a database on a server, with its driver and with its password, if any.

    Args:
        location: such as ``postgresql+psycopg://user@host/database``; the driver may be left out.

    Raises:
        StorageError: the URL is of another driver, or names no database or a port that is none.
    """
    scheme = _server_scheme(location)
    assert scheme is not None
    driver = scheme.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise StorageError(
            f"The storage {redacted(location)} asks for the driver {driver!r}, but psycopg is used; write "
            f"{_SERVER_SCHEME}://... instead."
        )
    rest = str(location).partition("://")[2]
    found = _SERVER.fullmatch(rest)
    # What is wrong is not shown: it may be a part of a password.
    if found is None or "@" in found["host"] or not re.fullmatch(r"\d*", found["port"] or ""):
        raise StorageError(
            f"The storage {redacted(location)} is no URL of a database; write "
            f"{_SERVER_SCHEME}://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for an @, %3A for a : and %2F for a / in "
            "the password."
        )
    if not found["database"]:
        raise StorageError(
            f"The storage {redacted(location)} names no database; write {_SERVER_SCHEME}://USER@HOST/DATABASE."
        )
    return f"{_SERVER_SCHEME}://{rest}"


def database_path(location: str | Path) -> Path:
    """The file that a path or URL names.

    Args:
        location: a path, or an SQLAlchemy URL: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.

    Returns:
        The absolute path; the file need not exist.

    Raises:
        StorageError: the location is empty, of another database, in memory, a folder, or has characters that a URL
            cannot carry.
    """
    text = str(location)
    match = _URL.fullmatch(text) if isinstance(location, str) else None
    if match:
        scheme = "".join(match["scheme"].split()).lower()
        if is_server(location):
            raise StorageError(
                f"The storage {redacted(location)} is on a server, but a SQLite file is needed here; give a path such "
                "as study.db or sqlite:///study.db."
            )
        if scheme not in ("sqlite", "sqlite+pysqlite"):
            raise StorageError(
                f"The storage {redacted(location)} is a {scheme} database, but a study is kept in a SQLite file or "
                f"PostgreSQL; give a path such as study.db, or a URL such as sqlite:///study.db or "
                f"{_SERVER_SCHEME}://USER@HOST/DATABASE."
            )
        host, _, text = match["rest"].partition("/")
        if host:
            raise StorageError(
                f"The storage {redacted(location)} names a host, but SQLite has none; write sqlite:///study.db."
            )
    if text in ("", ":memory:", "."):
        raise StorageError(
            f"The storage {str(location)!r:.300} names no file, and a study that is not kept in one cannot go on; "
            "give a path such as study.db."
        )
    if "?" in text or "\0" in text:
        raise StorageError(
            f"The storage {str(location)!r:.300} has a question mark or null character in it, which a storage URL "
            "cannot carry; use another name and no URL options."
        )
    path = expand_home(text).absolute()
    try:
        is_folder = path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise StorageError(f"The storage {str(path)!r:.300} cannot be used ({error.strerror}); check it.") from error
    if is_folder:
        raise StorageError(f"The storage {path} is a folder; name a file in it, such as {path / 'study.db'}.")
    return path


def backup_path(path: Path) -> Path:
    """Where the backup of a study database lies: ``study.db.backup`` beside ``study.db``."""
    return path.with_name(f"{path.name}.backup")


def may_exist(location: str | Path) -> bool:
    """False where there is no file at the location; whether a server has a database shows when it is opened.

    Raises:
        StorageError: the location is none of a file, see :func:`database_path`.
    """
    return is_server(location) or database_path(location).exists()


def optuna_url(location: str | Path) -> str:
    """The SQLAlchemy URL of a study database, for Optuna and optuna-dashboard; it has the password, if there is one.

    Args:
        location: a path or URL.

    Raises:
        StorageError: see :func:`database_path` and :func:`server_url`.
    """
    return server_url(location) if is_server(location) else f"sqlite:///{database_path(location)}"


def redacted(location: str | Path) -> str:
    """A location as people may see it: without the password that a URL may have.

    It can be used as it is where the server gets the password in another way, such as from ``PGPASSWORD``.

    Args:
        location: a path or any URL, which need not be right.
    """
    match = _URL.fullmatch(str(location)) if isinstance(location, str) else None
    if match is None or match["scheme"].lower().startswith("sqlite"):
        return str(location)
    # Up to the last @, since a password may have one that should have been written %40.
    rest = re.sub(r"^([^:/@]*):.*@", r"\1@", match["rest"], flags=re.DOTALL)
    rest, mark, query = rest.partition("?")
    kept = [item for item in query.split("&") if not re.match(r"[^=]*(pass(?!file)|pwd)", item, re.IGNORECASE)]
    text = f"{match['scheme']}://{rest}{mark if any(kept) else ''}{'&'.join(kept)}"
    return " ".join(text.split())


def split_study(location: str) -> tuple[str, str]:
    """A location with the name of a study behind a ``#``, in two parts; the name is empty where there is none.

    Raises:
        StorageError: the location is none of a file, see :func:`database_path`.
    """
    if is_server(location):
        scheme, mark, rest = location.partition("://")
        user, at, rest = rest.partition("@") if "@" in rest else ("", "", rest)
        if "#" in user and "/" in user:  # no password, but a study with an @ in its name
            user, at, rest = "", "", f"{user}{at}{rest}"
        place, _, study = rest.partition("#")
        return f"{scheme}{mark}{user}{at}{place}", study
    place, _, study = location.rpartition("#")
    return (location, "") if not place or database_path(location).exists() else (place, study)


def _server_scheme(location: str | Path) -> str | None:
    match = _URL.fullmatch(location) if isinstance(location, str) else None
    scheme = match["scheme"].lower() if match else ""
    return scheme if scheme.partition("+")[0] in ("postgresql", "postgres") else None
