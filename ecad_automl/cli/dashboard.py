"""``ecad-automl dashboard``: optuna-dashboard on a study database."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ecad_automl.api.terminal import say
from ecad_automl.cli.options import BatchSize, Device, Moved, Offloaded, Storage
from ecad_automl.cli.output import messages, results
from ecad_automl.cli.study_model import Place
from ecad_automl.errors import EvaluationError, OptionError, StorageError
from storage import Store

#: Prompts whose images fit into a picture that can be read.
_MOST_IMAGES = 12


def dashboard(
    storage: Storage = "sqlite:///ecad.db",
    study: Annotated[str | None, typer.Option(help="Write notes and pictures of this study only.")] = None,
    images: Annotated[
        int, typer.Option(help="Prompts to generate images of under each schedule of the front; 0 loads no model.")
    ] = 0,
    annotate: Annotated[
        bool, typer.Option("--annotate/--no-annotate", help="Write notes, pictures and plots of the front.")
    ] = True,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pictures; by default FILE.artifacts, or DATABASE.artifacts here for a server."
        ),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Open the pages; else only write.")] = True,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    model: Moved = None,
    batch_size: BatchSize = 8,
    device: Device = None,
    offload: Offloaded = None,
) -> None:
    """Open a study database in optuna-dashboard; Ctrl-C ends it.

    Meanwhile every schedule of the front gets a heatmap and a note, with --images also images uncached, cached and
    their difference, and the study a note and plots. Pictures lie in FILE.artifacts beside the database, or in
    DATABASE.artifacts here for one on a server. What exists is not made again.
    """
    if not 0 <= images <= _MOST_IMAGES:
        raise EvaluationError(f"Images of {images} prompts were asked for; give a number from 0 to {_MOST_IMAGES}.")
    if images and not annotate:
        raise OptionError("--images makes pictures, and --no-annotate none; give one of them.")
    place = Place(model, device, offload)
    place.check()
    with Store.open(storage, read_only=True) as store:
        names = store.studies()
    if study is not None and study not in names:
        from ecad_automl.api.stored import read_study

        read_study(storage, study)  # its message lists those that exist
    console = messages()
    with console.status("Reading the study ..."):
        from studies.dashboard import artifact_folder

        folder = artifacts or artifact_folder(storage)
    if serve:
        _serve(storage, folder, host, port)
    try:
        with _interrupts() as stopped:
            if annotate:
                from ecad_automl.cli.dashboard_annotate import PictureOptions, annotate_studies

                wanted = names if study is None else [study]
                annotate_studies(storage, wanted, folder, PictureOptions(images, place, batch_size), console)
            if serve:
                stopped.wait()
    except KeyboardInterrupt:
        if not serve:
            raise
    if serve:  # Ctrl-C is how the pages are closed; what was written before stays.
        say(console, "Stopped.")


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C does what it always does, and is noted where it comes in code that swallows it."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def note(*_: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)


def _serve(storage: str, folder: Path, host: str, port: int) -> None:
    """Open the pages, which show what is written from then on too.

    Raises:
        StorageError: the address is taken, or optuna-dashboard is not installed.
    """
    from storage import open_served_storage
    from studies.dashboard import listen

    try:
        server = listen(open_served_storage(storage), folder, host, port)
    except OSError as error:
        raise StorageError(
            f"The dashboard cannot listen on {host}:{port} ({error.strerror}); choose another --port."
        ) from error
    # In a thread of its own: in the middle of a request, the server would swallow Ctrl-C.
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://{host}:{server.server_port}/"
    say(results(), f"optuna-dashboard on {address} (Ctrl-C ends it)", keep=[address])
