"""Puts the commands together, and turns errors into one sentence and an exit code."""

from __future__ import annotations

import contextvars
import errno
import sys
from typing import Annotated, cast

import typer

from ecad_automl.allocator import keep_freed_memory
from ecad_automl.api.terminal import printable
from ecad_automl.cli.commands import CommandGroup
from ecad_automl.cli.exit_codes import BAD_INPUT, EPILOG, STOPPED
from ecad_automl.cli.output import drop_output, leave_quietly
from ecad_automl.cli.verbosity import Quiet, Verbose, set_verbosity
from ecad_automl.errors import EcadError
from ecad_automl.wording import ON_COMMAND_LINE

#: The base of what is wrong with a command line; a class of Click's, of which typer has a copy of its own by now.
_UsageError = cast("type[Exception]", typer.BadParameter.__base__)

#: Faults of a disk or its permissions, not of the program.
_OF_THE_DISK = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),
)

app = typer.Typer(
    name="ecad-automl",
    cls=CommandGroup,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    # Help of rich cuts long names of options on narrow terminals.
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ecad-automl {version('ecad-automl')}")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def _options(
    context: typer.Context,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Search for caching schedules that make diffusion transformers fast."""
    if context.invoked_subcommand is None:
        sys.stderr.write(f"{context.get_help()}\n")
        raise typer.Exit(BAD_INPUT)
    set_verbosity(quiet=quiet, verbose=verbose)


def main() -> None:
    """Run the command line."""
    keep_freed_memory()
    # What options set is forgotten at the end.
    sys.exit(contextvars.copy_context().run(_run))


def _run() -> int:
    """The exit code."""
    ON_COMMAND_LINE.set(True)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except EcadError as error:
        return _fail(str(error))
    except _UsageError as error:
        return _fail(_usage(error))
    except SystemExit as left:
        # Typer and rich have exit codes of their own for a reader that went away.
        if isinstance(left.__context__, BrokenPipeError):
            leave_quietly()
        raise
    except BrokenPipeError:
        leave_quietly()
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        what = "Output" if error.filename is None else f"The file or folder {error.filename}"
        if error.filename is None:
            drop_output()  # Python would try again at its end, and complain
        return _fail(f"{what} cannot be written ({error.strerror}); check its place and the disk.")
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return STOPPED
    return code if isinstance(code, int) else 0


def _fail(sentence: str) -> int:
    sys.stderr.write(f"Error: {printable(' '.join(sentence.splitlines()))}\n")
    return BAD_INPUT


def _usage(error: Exception) -> str:
    """What is wrong with the command line, and where it is explained."""
    text = " ".join(getattr(error, "format_message", lambda: str(error))().split()).rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", None)
    if path is None:
        return text
    return f"{text}{' See' if text.endswith('?') else '; see'} `{path} --help`."
