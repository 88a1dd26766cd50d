"""Where a study database lies: a path or SQLite URL on the command line, one resolved path inside."""

from __future__ import annotations

import re
from pathlib import Path

from ecad_automl.errors import StorageError

__all__ = ["database_path", "optuna_url"]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)


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
        scheme = match["scheme"].lower()
        if scheme not in ("sqlite", "sqlite+pysqlite"):
            raise StorageError(
                f"The storage {text!r} is a {match['scheme']} database, but a study is kept in one SQLite file; "
                "give a path such as study.db or sqlite:///study.db."
            )
        host, _, text = match["rest"].partition("/")
        if host:
            raise StorageError(f"The storage {location!r} names a host, but SQLite has none; write sqlite:///study.db.")
    if text in ("", ":memory:", "."):
        raise StorageError(
            f"The storage {str(location)!r} names no file, and a study that is not kept in one cannot go on; "
            "give a path such as study.db."
        )
    if "?" in text or "\0" in text:
        raise StorageError(
            f"The storage {str(location)!r} has a question mark or null character in it, which a storage URL cannot "
            "carry; use another name and no URL options."
        )
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        raise StorageError(f"The storage {path} is a folder; name a file in it, such as {path / 'study.db'}.")
    return path


def optuna_url(path: Path) -> str:
    """The SQLAlchemy URL of a database file, for Optuna and optuna-dashboard.

    Args:
        path: an absolute path from :func:`database_path`.
    """
    return f"sqlite:///{path}"
