"""Text on a console: lines that fit its width, and paths that can be copied from it."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_LOGGER = logging.getLogger("ecad_automl")

#: Stands for a space that no line may end at; of the private use area, so that no text has it.
_KEPT = "\ue000"
# Control characters but for the line end and tab; what turns the direction of text around, so that it reads as
# something else; and halves of characters, which no terminal can be sent.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


def printable(text: str) -> str:
    r"""Text without what a terminal would obey, but ``\n`` and ``\t``: a replacement character stands in its place."""
    return _CONTROLS.sub("\ufffd", text)


class PlainConsole(Console):
    """A console of rich on which text is text: no markup, no codes of emoji, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """What a renderable becomes; only what rich itself controls the terminal with is left as it is."""
        for segment in super().render(renderable, options):
            if segment.control or not _CONTROLS.search(segment.text):
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)
