"""Functions that run in forks of this process, which have its libraries: to load them anew takes five seconds."""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing.util
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn, TextIO

__all__ = ["Forked"]


class Forked:
    """A process that runs a function; its streams, signals and end are those of a program of its own.

    Args:
        run: what to run; it ends by returning, or by ``SystemExit`` as programs do.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        pipes = [os.pipe(), os.pipe()]
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(run, [writes for _, writes in pipes])
        self.stdout, self.stderr = (_reader(*pipe) for pipe in pipes)

    def poll(self) -> int | None:
        """How it ended, the negative of a signal that killed it; None while it runs."""
        return self._wait(os.WNOHANG)

    def send_signal(self, number: int) -> None:
        """As ``Popen`` does."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As ``Popen`` does."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; what it wrote to standard output and standard error.

        Raises:
            TimeoutExpired: it still runs.
        """
        end = None if timeout is None else time.monotonic() + timeout
        told: dict[TextIO, list[bytes]] = {self.stdout: [], self.stderr: []}
        left = [stream for stream in told if not stream.closed]
        while left:
            ready, _, _ = select.select(left, [], [], None if end is None else max(end - time.monotonic(), 0.0))
            if not ready:
                raise subprocess.TimeoutExpired("fork", timeout or 0.0)
            for stream in ready:
                data = os.read(stream.fileno(), 1 << 16)
                told[stream].append(data)
                if not data:
                    left.remove(stream)
                    stream.close()
        self._wait(0)
        out, err = (b"".join(parts).decode() for parts in told.values())
        return out, err

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


def _reader(reads: int, writes: int) -> TextIO:
    os.close(writes)
    return os.fdopen(reads)


def _become(run: Callable[[], None], streams: list[int]) -> NoReturn:
    """Run it with nothing left of what the test has set, and end as the interpreter does."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in enumerate([nothing, *streams]):
            os.dup2(theirs, ours)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.resetwarnings()
        warnings.simplefilter("ignore", ResourceWarning)
        atexit._clear()
        atexit.register(logging.shutdown)
        atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]
        code = _exit_code(run)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - nothing of the test may go on here
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


def _exit_code(run: Callable[[], None]) -> int:
    try:
        run()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            sys.stderr.write(f"{stop.code}\n")
            return 1
        return int(stop.code or 0)
    except KeyboardInterrupt:
        traceback.print_exc()
        return -signal.SIGINT
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0
