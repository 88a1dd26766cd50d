"""A bar for work that goes on for long; where output is no terminal, lines."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["LiveProgress"]


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
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, style="yellow")

    def update(self, done: int, total: int, text: str) -> None:
        """Show how many parts are done, and what the text says of the present one."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, description=text)
        elif done >= total or time.monotonic() - self._last >= self._pause:
            self._last = time.monotonic()
            self._console.print(f"{done}/{total} {text}", highlight=False)
