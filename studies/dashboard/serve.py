"""optuna-dashboard on a study database and its pictures."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage

from ecad_automl.errors import StorageError
from storage import BUSY_SECONDS, optuna_url

__all__ = ["artifact_folder", "open_served_storage", "serve"]


def artifact_folder(database: Path) -> Path:
    """Where the pictures of a database lie: ``study.db.artifacts`` beside ``study.db``."""
    return database.with_name(f"{database.name}.artifacts")


def open_served_storage(database: Path) -> RDBStorage:
    """Optuna's storage as the dashboard reads it: nothing is made or changed by opening it."""
    # Optuna fills braces in the URL as a template, so those of the path are doubled.
    url = optuna_url(database).replace("{", "{{").replace("}", "}}")
    return RDBStorage(
        url,
        engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}},
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def serve(storage: BaseStorage, folder: Path, host: str, port: int) -> None:
    """Serve the pages until the process ends.

    Args:
        storage: from :func:`open_served_storage`.
        folder: see :func:`artifact_folder`; need not exist.
        host: address to listen on.
        port: port to listen on.

    Raises:
        StorageError: optuna-dashboard is not installed.
        OSError: the address cannot be listened on.
    """
    from optuna.artifacts import FileSystemArtifactStore

    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise StorageError(
            "optuna-dashboard is not installed; install it with pip install 'ecad-automl[dashboard]'."
        ) from error
    run_server(storage, host=host, port=port, artifact_store=FileSystemArtifactStore(folder))
