"""Text of others in Markdown: names and notes are shown as they are, whatever they hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """One line of text that Markdown and HTML leave alone: all ASCII punctuation is escaped (CommonMark 2.4)."""
    return _PUNCTUATION.sub(r"\\\1", _one_line(text))


def code(text: str) -> str:
    """A code span of one line, in a fence longer than any run of backticks in it (CommonMark 6.1)."""
    line = _one_line(text)
    if not line:
        return "(empty)"
    fence = "`" * (max(map(len, re.findall(r"`+", line)), default=0) + 1)
    space = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def cell(text: str) -> str:
    """A code span in a cell of a table, where bars are escaped even in code (GitHub Flavored Markdown 4.10)."""
    return code(text).replace("|", "\\|")


def fenced(text: str, language: str) -> str:
    """A block of code in a fence longer than any run of backticks in it (CommonMark 4.5)."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def quote(text: str) -> str:
    """Paragraphs and lines of text as a block quote."""
    lines = [plain(line) for line in text.splitlines()]
    return "\n".join(f"> {line}\\" if line and after else f"> {line}" for line, after in _followed(lines))


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], rules: Sequence[str] | None = None) -> str:
    """A table of Markdown whose bars are escaped; rules such as ``---:`` say how its columns are aligned."""
    lines = [heading, rules or ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _followed(lines: list[str]) -> list[tuple[str, str]]:
    return list(zip(lines, [*lines[1:], ""], strict=True))


def _one_line(text: str) -> str:
    """Without line ends, control characters, and halves of characters, which UTF-8 cannot hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
