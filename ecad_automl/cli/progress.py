"""A bar for work that goes on for long; where output cannot be replaced, lines."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecad_automl.api.terminal import redraws, say

_LOGGER = logging.getLogger("ecad_automl.cli")


class LiveProgress:
    """Follows what is done of a known number of parts.

    Args:
        console: where to show it.
        pause: seconds between two lines, where output is no terminal; the last part always gets one.
    """

    def __init__(self, console: Console, pause: float = 0.0) -> None:
        self._console = console
        self._pause = pause
        self._last = -float("inf")
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        if redraws(self._console):
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """Print a line that stays."""
        say(self._console, text, style="yellow")

    def update(self, done: int, total: int, text: str) -> None:
        """Show how many parts are done, and what the text says of the present one."""
        _LOGGER.info("%d of %d done: %s", done, total, text)
        if redraws(self._console):
            self._bar.update(self._task, completed=done, total=total, description=text)
        elif done >= total or time.monotonic() - self._last >= self._pause:
            self._last = time.monotonic()
            say(self._console, f"{done}/{total} {text}")
