"""optuna-dashboard on a study database and its pictures."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.storages import BaseStorage

from ecad_automl.errors import StorageError
from storage import database_path, is_server
from storage.location import server_url


def artifact_folder(location: str | Path) -> Path:
    """Where the pictures of a study database lie: ``study.db.artifacts`` beside ``study.db``.

    Those of a database on a server lie where the command is run, in a folder that has its name.

    Args:
        location: a path or URL.

    Raises:
        StorageError: the location is none of a study database.
    """
    if not is_server(location):
        database = database_path(location)
        return database.with_name(f"{database.name}.artifacts")
    name = urlsplit(server_url(location)).path.strip("/")
    return Path(f"{re.sub(r'[^A-Za-z0-9_.-]', '-', name)}.artifacts").absolute()


def listen(storage: BaseStorage, folder: Path, host: str, port: int) -> WSGIServer:
    """A server of the pages that listens already; its ``serve_forever`` answers, and logs nothing.

    Args:
        storage: from :func:`storage.open_served_storage`.
        folder: see :func:`artifact_folder`; need not exist.
        host: address to listen on.
        port: port to listen on.

    Raises:
        StorageError: optuna-dashboard is not installed.
        OSError: the address cannot be listened on.
    """
    from optuna.artifacts import FileSystemArtifactStore

    try:
        from optuna_dashboard import wsgi
    except ImportError as error:
        raise StorageError(
            "optuna-dashboard is not installed; install it with pip install 'ecad-automl[dashboard]'."
        ) from error
    threading.Thread(target=read_ahead, args=(storage,), daemon=True).start()
    app = wsgi(storage, artifact_store=FileSystemArtifactStore(folder))
    return make_server(host, port, app, handler_class=_Silent)


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def read_ahead(storage: BaseStorage) -> None:
    """Read the trials of all studies, so that the first page of a large one need not wait for all of them."""
    import optuna

    # A study that is gone; tables of another Optuna: the page that needs them says so.
    with suppress(KeyError, optuna.exceptions.StorageInternalError):
        for name in optuna.get_all_study_names(storage):
            storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
