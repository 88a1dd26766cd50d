"""Names, prompts and messages of others on a terminal: shown as text, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but for the line end and tab; what turns the direction of text around, so that it reads as
# something else; and halves of characters, which no terminal can be sent.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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
