"""``ecad-automl dashboard``: optuna-dashboard on a study database."""

from __future__ import annotations

import threading
from typing import Annotated

import typer
from rich.console import Console

from ecad_automl.cli.options import Storage
from ecad_automl.errors import StorageError
from storage import Store, optuna_url

__all__ = ["dashboard"]


def dashboard(
    storage: Storage = "sqlite:///ecad.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Open a study database in optuna-dashboard; Ctrl-C ends it."""
    with Store.open(storage, read_only=True) as store:
        url = optuna_url(store.path)
    try:
        from optuna_dashboard import run_server
    except ImportError as error:
        raise StorageError(
            "optuna-dashboard is not installed; install it with pip install 'ecad-automl[dashboard]'."
        ) from error
    Console().print(f"optuna-dashboard on http://{host}:{port}/ (Ctrl-C ends it)", highlight=False)
    faults: list[OSError] = []

    def serve() -> None:
        try:
            run_server(url, host=host, port=port)
        except OSError as error:
            faults.append(error)

    # In a thread of its own: in the middle of a request, the server would swallow Ctrl-C.
    server = threading.Thread(target=serve, daemon=True)
    server.start()
    server.join()
    for fault in faults:
        raise StorageError(
            f"The dashboard cannot listen on {host}:{port} ({fault.strerror}); choose another --port."
        ) from fault
