"""Work that goes on as people see it: in a terminal, in a notebook, and where output is kept in a file."""

from __future__ import annotations

import logging
import time
from html import escape
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ecad_automl.api.terminal import redraws, say, warn

if TYPE_CHECKING:
    from studies import SearchJob, SearchStatus

_LOGGER = logging.getLogger("ecad_automl.api")


class _Followed:
    """What is drawn anew in its place while work goes on, where the console can do that.

    On a quiet console nothing is shown, and messages are logged.
    """

    def __init__(self, console: Console, drawn: Live | Progress) -> None:
        self._console = console
        self._redraws = redraws(console) and not console.quiet
        self._drawn = drawn

    def __enter__(self) -> Self:
        if self._redraws:
            self._drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawn.stop()

    def message(self, text: str) -> None:
        """Print a line that stays."""
        warn(self._console, text)


class LiveProgress(_Followed):
    """Follows what is done of a known number of parts.

    Args:
        console: where to show it.
        pause: seconds between two lines, where output is no terminal; the last part always gets one.
    """

    def __init__(self, console: Console, pause: float = 0.0) -> None:
        self._pause = pause
        self._last = -float("inf")
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)
        super().__init__(console, self._bar)

    def update(self, done: int, total: int, text: str) -> None:
        """Show how many parts are done, and what the text says of the present one."""
        _LOGGER.info("%d of %d done: %s", done, total, text)
        if self._redraws:
            self._bar.update(self._task, completed=done, total=total, description=text)
        elif done >= total or time.monotonic() - self._last >= self._pause:
            self._last = time.monotonic()
            say(self._console, f"{done}/{total} {text}")


class LiveStatus(_Followed):
    """A table that follows the search; where output is neither a terminal nor a notebook, a line now and then."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._in_notebook = console.is_jupyter and not console.quiet
        self._shown: Any = None
        self._printed = -1
        super().__init__(console, self._live)

    def update(self, status: SearchStatus) -> None:
        """Show the status."""
        _LOGGER.info("%s", _line(status))
        if self._redraws:
            self._live.update(status_table(status))
        elif self._in_notebook:
            self._show(status)
        elif status.text != "evaluating" or status.evaluations - self._printed >= 10:
            self._printed = status.evaluations
            say(self._console, _line(status))

    def _show(self, status: SearchStatus) -> None:
        """One table of the cell that is replaced: rich's own would need ipywidgets."""
        shown = {"text/html": _html(status), "text/plain": _line(status)}
        if self._shown is None:
            display: Any = import_module("IPython.display").display
            self._shown = display(shown, raw=True, display_id=True)
        else:
            self._shown.update(shown, raw=True)


def run_with_status(job: SearchJob, console: Console, again: str) -> SearchStatus:
    """Run a search under the eyes of its user, who goes on by repeating the same "command" or "call".

    Raises:
        KeyboardInterrupt: the user stopped it, and was told that nothing is lost.
        EcadError: see :func:`~studies.job.run_search`.
    """
    from studies import run_search

    try:
        with LiveStatus(console) as live:
            return run_search(job, live)
    except KeyboardInterrupt:
        say(console, f"Stopped. Everything evaluated is kept; the same {again} goes on from here.")
        raise


def outcome(status: SearchStatus) -> str:
    """One line on a search that is done."""
    best = ", ".join(f"{_signed(value)} at {speedup:g}x" for speedup, value in status.best.items())
    return (
        f"Done: {status.evaluations} schedules, hypervolume {_number(status.hypervolume)}; best mean reward "
        f"difference to uncached: {best}."
    )


def _figures(status: SearchStatus) -> dict[str, str]:
    return {
        "evaluations": _evaluations(status),
        "generation": str(status.generation),
        "hypervolume": _number(status.hypervolume),
        **{f"best at {speedup:g}x": _signed(value) for speedup, value in status.best.items()},
        "rank correlation": _number(status.rank_correlation, 2),
        "time left": _duration(status.seconds_left),
    }


def _evaluations(status: SearchStatus) -> str:
    if status.evaluations == status.images:
        return f"{status.evaluations}/{status.budget}"
    stopped = f" ({status.stopped} stopped)" if status.stopped else ""
    return f"{status.evaluations}{stopped}, {status.images:.0f}/{status.budget} by images"


def status_table(status: SearchStatus) -> Table:
    """How a search goes, a figure in each line, so that nothing is cut where the terminal is narrow."""
    table = Table(title=status.text, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(overflow="fold", style="dim")
    table.add_column(overflow="fold")
    for name, figure in _figures(status).items():
        table.add_row(name, figure)
    return table


def _html(status: SearchStatus) -> str:
    figures = _figures(status)
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in figures)
    values = "".join(f"<td>{escape(value)}</td>" for value in figures.values())
    return (
        f"<table><caption>{escape(status.text)}</caption><thead><tr>{names}</tr></thead>"
        f"<tbody><tr>{values}</tr></tbody></table>"
    )


def _line(status: SearchStatus) -> str:
    return f"{status.text}: " + ", ".join(f"{name} {value}" for name, value in _figures(status).items() if value != "-")


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
