"""Processes whose wall clock jumps, for Python and for libraries in C such as SQLite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest

__all__ = ["JUMPS", "Clock", "run_in_jumping_time"]

_DAY = 24 * 60 * 60
#: Seconds beside the true time: back by a day and forward by a month, again and again.
JUMPS = (-_DAY, 30 * _DAY, 0)
_SOURCE = Path(__file__).with_suffix(".c")


class Clock:
    """The clock of a process that :func:`run_in_jumping_time` has started.

    Args:
        path: the file that sets it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._jumps = cycle(JUMPS)

    def jump(self, _: object = None) -> None:
        """To the next of the jumps."""
        self._set(next(self._jumps))

    def make(self) -> None:
        """Make the file; it says the true time."""
        self._path.touch()
        self._set(0)

    def _set(self, seconds: int) -> None:
        handle = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(handle, seconds.to_bytes(8, sys.byteorder, signed=True), 0)
        finally:
            os.close(handle)


def run_in_jumping_time(arguments: Sequence[object], clock: Path) -> str:
    """Run Python to its end, and give what it says; skips where the clock cannot be interposed.

    Args:
        arguments: of the interpreter.
        clock: the file for :class:`Clock`.
    """
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("a clock that jumps needs Linux and a C compiler")
    library = clock.with_name("clock.so")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SOURCE], check=True)
    Clock(clock).make()
    environment = {**os.environ, "LD_PRELOAD": str(library), "CLOCK_SHIFT": str(clock)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
