"""Runs commands and pages in processes that have PyTorch imported already, which alone takes some five seconds.

A server imports what commands import and then forks: each command is a process of its own, with the folder, environment
and standard streams of whoever asked, as if it had been started from there.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from packaging.requirements import Requirement

from tests.docs.blocks import cheaper

__all__ = ["CLIENT", "PROGRAMS", "check_install", "run_steps"]

#: What the client is called by: two programs of users, and one of the test itself.
PROGRAMS = ("ecad-automl", "pip", "run-page")

_PRELOADED = (
    *(
        "ecad_automl.api",
        "ecad_automl.cli.app",
        "ecad_automl.cli.front",
        "ecad_automl.models",
        "ecad_automl.views.report",
        "studies",
    ),
    *("alembic", "datasets", "matplotlib.pyplot", "optuna.storages", "optuna_dashboard", "plotly.io"),
)

#: A program that asks the server to run what its name and arguments say. It imports next to nothing.
CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({address!r})
    request = {{"arguments": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "folder": os.getcwd()}}
    data = json.dumps(request | {{"environment": dict(os.environ)}}).encode()
    socket.send_fds(connection, [len(data).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(data)
    code = connection.recv(1)
    connection.recv(1)  # nothing comes: the process has ended
sys.exit(code[0] if code else 70)
"""


def run_steps(steps: Sequence[Mapping[str, Any]]) -> int:
    """Run the blocks of a page in the working folder; tells which one failed.

    Args:
        steps: for each block its ``kind``, ``text`` and where it is: ``page`` and ``line``.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # DPMSolverMultistepScheduler.set_timesteps hands a tensor to np.array, of which NumPy 2 and PyTorch warn.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        for step in steps:
            place = f"{step['page']}:{step['line']}"
            sys.stdout.write(f"--- {place}\n")
            sys.stdout.flush()
            if step["kind"] == "shell":
                shell = ["bash", "-eu", "-o", "pipefail", "-c", step["text"]]
                done = subprocess.run(shell, env={**os.environ, "PAGE": step["page"]}, check=False)
                if done.returncode:
                    sys.stderr.write(f"{place} ended with {done.returncode}.\n")
                    return 1
            else:
                # Line numbers of tracebacks are those of the page.
                exec(compile("\n" * (step["line"] - 1) + step["text"], step["page"], "exec"), names)
    return 0


def check_install(arguments: Sequence[str], *, installed: bool = True) -> None:
    """In place of ``pip``: what it was to install is here already.

    Args:
        arguments: those of pip.
        installed: whether what the project's extras need must be installed too; else they only must exist.

    Raises:
        LookupError: an extra that does not exist, or a package that is not installed.
        ValueError: pip is asked for something else.
    """
    if arguments[:1] != ["install"]:
        raise ValueError(f"Only pip install is known here, not {' '.join(arguments)!r}.")
    for argument in arguments[1:]:
        if argument not in {"-e", "--editable", "-q", "--quiet"}:
            # The folder of a clone is the project itself.
            wanted = Requirement(re.sub(r"^\.(?=\[|$)", "ecad-automl", argument))
            if installed or wanted.name == "ecad-automl":
                _check_installed(wanted, with_extras=installed)


def _check_installed(wanted: Requirement, *, with_extras: bool = True) -> None:
    found = distribution(wanted.name)
    known = found.metadata.get_all("Provides-Extra") or []
    if unknown := wanted.extras - set(known):
        raise LookupError(f"{wanted.name} has no extra {', '.join(unknown)}; it has {', '.join(known)}.")
    if found.version not in wanted.specifier:
        raise LookupError(f"{wanted} is wanted, but {found.version} is installed.")
    for needed in map(Requirement, found.requires or ()) if with_extras else ():
        marker = needed.marker
        if marker and any(not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": e}) for e in wanted.extras):
            _check_installed(needed)


def _run(program: str, arguments: list[str]) -> None:
    if program == "pip":
        check_install(arguments)
    elif program == "run-page":
        sys.exit(run_steps(json.loads(Path(arguments[0]).read_text())))
    else:
        from ecad_automl.cli.app import main

        sys.argv = [program, *cheaper(os.environ.get("PAGE", ""), arguments, os.environ)]
        main()


def _exit_code(arguments: list[str]) -> int:
    try:
        _run(arguments[0], arguments[1:])
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        sys.stderr.write(f"{stop.code}\n")
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
    else:
        return 0
    return 1


def _serve_one(connection: socket.socket) -> NoReturn:
    """Become the process that was asked for."""
    header, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    size = int.from_bytes(header, "big")
    with connection.makefile("rb") as stream:
        request = json.loads(stream.read(size))
    for ours, theirs in enumerate(descriptors):
        os.dup2(theirs, ours)
        os.close(theirs)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    code = _exit_code(request["arguments"])
    # As the interpreter ends, but without taking all modules apart, which takes longer than many a command.
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    connection.sendall(bytes([code]))
    os._exit(code)


def _serve(address: str) -> None:
    """Serve until standard input ends, which it does with whoever started this."""
    for module in _PRELOADED:
        import_module(module)
    # diffusers and transformers import their classes at their first use.
    resolve_name("diffusers:PixArtAlphaPipeline")
    resolve_name("transformers:T5EncoderModel")
    gc.freeze()
    for handled in _listen(address):
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _serve_one(handled)
        handled.close()


def _listen(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets children that have ended
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                return
            yield listener.accept()[0]


if __name__ == "__main__":
    _serve(sys.argv[1])
