"""The code blocks of README and docs, and how tests run them.

A line directly before a fence says why a block is not run, to readers too; a comment anywhere is work that a reader has
done already::

    *Not run in the tests: downloads PixArt from the hub.*

    <!-- setup: cp "$STUDY" shapes.db -->
    <!-- setup python: from ecad_automl import load_model; pipe = load_model("shapes").pipe -->

``$STUDY`` is the database of a short search on ``shapes`` with 6 steps. All else on a page runs in its order, in one
empty folder: what has no language, or that of a shell, by ``bash``, and Python in one process. ``text`` is what a
command prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = [
    "ADDED_OPTIONS",
    "OTHER_VALUES",
    "PAGES",
    "ROOT",
    "Block",
    "Kind",
    "cheaper",
    "code_spans",
    "page_blocks",
    "parse",
]

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))}

#: What tests add to commands so that they take seconds; later options replace earlier ones. Nothing else is changed but
#: the values below: all commands really run, on fewer prompts, schedules and rounds.
ADDED_OPTIONS: Mapping[str, Sequence[str]] = {
    "search": ("--evaluations", "4", "--offspring", "2", "--limit", "2", "--steps", "6", "--latency-schedules", "3"),
    "quick": ("--limit", "2"),
    "confirm": ("--limit", "2"),
    "evaluate": ("--limit", "2"),
    "bench": ("--warmup", "1", "--repeats", "1"),
    "dashboard": ("--no-serve",),  # else it runs until Ctrl-C
}
#: Pages that name a file that a run of fewer steps does not make.
ALL_STEPS = {"README.md"}
#: Values of options in whose place tests have smaller or local ones. ``$PIXART`` is a folder with a pipeline of the
#: same class and random weights.
OTHER_VALUES: Mapping[str, str] = {
    "PixArt-alpha/PixArt-XL-2-256x256": "$PIXART",
    "PixArt-alpha/PixArt-XL-2-512x512": "$PIXART",
}

Kind = Literal["shell", "python", "toml", "json", "text"]
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("", "bash", "sh", "shell", "console"), "shell"),
    **dict.fromkeys(("python", "py"), "python"),
    **dict.fromkeys(("text", "mermaid", "diff"), "text"),
    "toml": "toml",
    "json": "json",
}
_COMMENT = re.compile(r"<!--\s+(setup|setup python):\s(.+?)\s-->\s*", re.DOTALL)
_NOT_RUN = re.compile(r"\*Not run in the tests: (.+)\.\*", re.DOTALL)
_MEANT = re.compile(r"<!--\s*(not[ -]?run|set[ -]?up)|\*not[ -]?run\b", re.IGNORECASE)
_FENCE = re.compile(r"^[\s>]*(`{3,}|~{3,})", re.MULTILINE)
_MARKDOWN = MarkdownIt("commonmark")


@dataclass(frozen=True)
class Block:
    """A block of a page, or a comment that prepares one."""

    page: str
    line: int  # of its first line of code, from 1
    kind: Kind
    text: str
    reason: str | None = None  # why it is not run
    hidden: bool = False  # a comment

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def page_blocks(page: str) -> list[Block]:
    """The blocks of a page of :data:`PAGES`."""
    return parse(page, PAGES[page].read_text(encoding="utf-8"))


def parse(page: str, text: str) -> list[Block]:
    """The blocks of a page and its comments that prepare them, in their order.

    Raises:
        ValueError: a block is of a language that nobody knows how to test, or no fence; or a mark belongs to no block.
    """
    found = list(_blocks(page, _MARKDOWN.parse(text), 0))
    if len(_FENCE.findall(text)) != 2 * sum(not block.hidden for block in found):
        raise ValueError(f"{page}: not every fence is a block of its own; is there a blank line before and after it?")
    return found


def _blocks(page: str, tokens: Sequence[Token], above: int) -> Iterator[Block]:
    """Blocks among the tokens of a part of a page that begins below so many lines."""
    reason, end = None, 0
    for token in tokens:
        first, last = token.map or (0, 0)
        line = above + first + 1
        if token.type in {"paragraph_open", "paragraph_close"}:
            continue
        if reason is not None and (token.type != "fence" or first > end + 1):
            raise ValueError(f"{page}:{above + end}: the mark 'not run' does not stand directly before a block.")
        if token.type == "inline" and (mark := _NOT_RUN.fullmatch(token.content)):
            reason, end = mark[1], last
        elif token.type == "fence":
            language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
            if language not in _KINDS:
                raise ValueError(f"{page}:{line}: nobody knows how to test {language!r}; mark it text, or add it here.")
            yield Block(page, line + 1, _KINDS[language], _commands(token.content, language), reason)
            reason = None
        elif token.type == "code_block":
            # Parts of a page that an extension of Markdown has indented, such as tabs.
            inner = list(_blocks(page, _MARKDOWN.parse(token.content), above + first))
            if not inner:
                raise ValueError(f"{page}:{line}: code that is only indented; put it in a fence with a language.")
            yield from inner
        elif token.type == "html_block" and (match := _COMMENT.fullmatch(token.content)):
            yield Block(page, line, "shell" if match[1] == "setup" else "python", match[2], hidden=True)
        elif token.type in {"html_block", "inline"} and _MEANT.match(token.content):
            raise ValueError(f"{page}:{line}: a mark that nobody understands; write *Not run in the tests: why.*")
    if reason is not None:
        raise ValueError(f"{page}:{above + end}: the mark 'not run' does not stand directly before a block.")


def _commands(text: str, language: str) -> str:
    """What is typed: in a console, what stands after the prompt."""
    if language != "console":
        return text
    return "".join(line.removeprefix("$ ") for line in text.splitlines(keepends=True) if line.startswith("$ "))


def code_spans(text: str) -> Iterator[str]:
    """All that a page has between backticks in its prose."""
    for token in _MARKDOWN.parse(text):
        yield from (child.content for child in token.children or () if child.type == "code_inline")


def cheaper(page: str, arguments: Sequence[str], paths: Mapping[str, str]) -> list[str]:
    """The arguments of ``ecad-automl`` that tests run in place of others.

    Args:
        page: where they stand.
        arguments: those of the page.
        paths: what ``$PIXART`` and the like are.
    """
    other = {value: paths.get(instead.removeprefix("$"), instead) for value, instead in OTHER_VALUES.items()}
    given = [other.get(argument, argument) for argument in arguments]
    command = next((argument for argument in given if not argument.startswith("-")), "")
    added = [*ADDED_OPTIONS.get(command, ())]
    if page in ALL_STEPS and "--steps" in added:
        at = added.index("--steps")
        del added[at : at + 2]
    return given + added
