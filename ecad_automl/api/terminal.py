"""Text on a console: lines that fit its width, and paths that can be copied from it."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable

from rich.console import Console

_LOGGER = logging.getLogger("ecad_automl")

#: Stands for a space that no line may end at; of the private use area, so that no text has it.
_KEPT = "\ue000"


def redraws(console: Console) -> bool:
    """Whether what is shown can be replaced: a terminal can, but for a dumb one."""
    return console.is_terminal and not console.is_dumb_terminal


def say(console: Console, text: str, *, keep: Iterable[object] = (), style: str | None = None) -> None:
    """Print text as it is, in lines that fit the console.

    Names and paths may look like markup, and a path that is broken in two cannot be copied: words are never broken.

    Args:
        console: where to.
        text: sentences; line breaks stay.
        keep: parts of the text that stay in one line, spaces included, such as paths.
        style: of the whole text.
    """
    lines = wrapped(text, console.width, keep)
    console.print(lines, style=style, highlight=False, markup=False, emoji=False, soft_wrap=True)


def warn(console: Console, text: str) -> None:
    """Tell what the user should know; on a console that is quiet it is logged."""
    if console.quiet:
        _LOGGER.warning(text)
    else:
        say(console, text, style="yellow")


def wrapped(text: str, width: int, keep: Iterable[object] = ()) -> str:
    """Text in lines of at most so many characters, but for words that are longer."""
    for part in filter(None, map(str, keep)):
        text = text.replace(part, part.replace(" ", _KEPT))
    lines = (
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False)
        for line in text.split("\n")
    )
    return "\n".join(lines).replace(_KEPT, " ")
