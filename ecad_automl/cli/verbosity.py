"""How much the commands tell: ``--quiet`` and ``--verbose``, before the command or behind it."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

import ecad_automl
from ecad_automl.api.terminal import printable
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.errors import EcadError

#: Our packages, whose steps are logged; of others only warnings are.
_PACKAGES = ("ecad_automl", "studies", "storage", "surrogate")
_ROOT = Path(ecad_automl.__file__).parents[1]
_LOGGER = logging.getLogger("ecad_automl.cli")


class Verbosity(Enum):
    """What is told beside results and errors."""

    #: Nothing.
    QUIET = auto()
    #: Progress and messages.
    NORMAL = auto()
    #: These, a log of what is done, and what the libraries below say.
    VERBOSE = auto()


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only results and errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log what is done, with times, and warnings of libraries.")
]

_VERBOSITY: ContextVar[Verbosity] = ContextVar("verbosity", default=Verbosity.NORMAL)


def current_verbosity() -> Verbosity:
    """What was asked for; normal where no command runs."""
    return _VERBOSITY.get()


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """For the rest of this run of the command line; options that were not given change nothing.

    Raises:
        BadParameter: both are given.
    """
    if quiet and verbose:
        raise typer.BadParameter("--quiet and --verbose contradict each other; give one of them.")
    if quiet or verbose:
        _VERBOSITY.set(Verbosity.QUIET if quiet else Verbosity.VERBOSE)


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options ``--quiet`` and ``--verbose``, and with what they ask for set up around it."""

    @functools.wraps(command)
    def run(*args: Any, quiet: bool, verbose: bool, **kwargs: Any) -> None:
        set_verbosity(quiet=quiet, verbose=verbose)
        with _logging(current_verbosity()), _told(command.__name__):
            command(*args, **kwargs)

    options = {"quiet": Quiet, "verbose": Verbose}
    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in options.items()
    ]
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **options}
    return run


class _ToStandardError(logging.Handler):
    """Looks standard error up for each line: a bar that is shown takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{printable(self.format(record))}\n")


@contextmanager
def _told(command: str) -> Iterator[None]:
    """Log when a command begins and ends, and where an error came from; Ctrl-C ends it with a word."""
    start = time.monotonic()
    _LOGGER.info("%s begins", command)
    try:
        yield
    except KeyboardInterrupt:
        if current_verbosity() is not Verbosity.QUIET:
            sys.stderr.write("Stopped.\n")
        raise typer.Exit(STOPPED) from None
    except (EcadError, OSError):
        _LOGGER.info("%s failed", command, exc_info=True)
        raise
    finally:
        _LOGGER.info("%s ends after %.2f s", command, time.monotonic() - start)


@contextmanager
def _logging(verbosity: Verbosity) -> Iterator[None]:
    """Log to standard error for a while: everything of ours when verbose, else only errors."""
    verbose = verbosity is Verbosity.VERBOSE
    handler = _ToStandardError()
    # Also where it shows nothing: a root without a handler prints the warnings of libraries.
    handler.setLevel(logging.NOTSET if verbose else logging.ERROR)
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(name)s: %(message)s", "%H:%M:%S"))
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in _PACKAGES]
    before = [logger.level for logger in ours]
    root.addHandler(handler)
    if verbose:
        for logger in ours:
            logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = functools.partial(_show_warning, verbosity)
            yield
    finally:
        root.removeHandler(handler)
        for logger, level in zip(ours, before, strict=True):
            logger.setLevel(level)


def _show_warning(
    verbosity: Verbosity,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - as warnings.showwarning has it
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Our own warnings are messages; those of libraries are for the log."""
    if category.__module__.partition(".")[0] in _PACKAGES or _is_ours(filename):
        if verbosity is not Verbosity.QUIET:
            sys.stderr.write(f"Warning: {printable(str(message))}\n")
    elif verbosity is Verbosity.VERBOSE:
        logging.getLogger("py.warnings").warning("%s:%d: %s: %s", filename, lineno, category.__name__, message)


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _PACKAGES


def quiet_libraries() -> None:
    """Only errors from diffusers and transformers, only warnings from Optuna; imports all three.

    With ``--verbose`` their warnings and bars are shown. With ``--quiet`` also the hub's downloads have none.
    """
    verbosity = current_verbosity()
    verbose = verbosity is Verbosity.VERBOSE
    for library in ("transformers", "diffusers"):  # in this order, for diffusers imports transformers
        logging = import_module(f"{library}.utils.logging")
        (logging.set_verbosity_warning if verbose else logging.set_verbosity_error)()
        (logging.enable_progress_bar if verbose else logging.disable_progress_bar)()
    if verbosity is Verbosity.QUIET:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
