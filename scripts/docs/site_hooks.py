"""What MkDocs does beyond its plugins: the command line reference, and links to files outside of this folder.

Pages are read on a Git host too, where a link such as ``../benchmarks/README.md`` leads into the repository. A built
site has no repository around it, so the files that pages link to are taken along, below ``repository/``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

__all__ = ["command_line", "on_files", "on_page_markdown"]

COMMANDS = "<!-- commands -->"
TAKEN = "repository"

#: The target of a link or picture, less its anchor: ``](target#anchor)``.
_TARGET = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)(?=[#)])")
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take along what pages link to outside of the docs, and what is linked to from there."""
    from mkdocs.structure.files import File

    docs = Path(config.docs_dir)
    root = docs.parent
    waiting = [(file.src_uri, Path(file.abs_src_path)) for file in files.documentation_pages() if file.abs_src_path]
    taken = set()
    while waiting:
        uri, path = waiting.pop()
        for target in _targets(path.read_text(encoding="utf-8")):
            found = _outside(uri, target)
            if found is None or found in taken or found.startswith("docs/") or not (root / found).is_file():
                continue
            taken.add(found)
            copied = f"{TAKEN}/{found}"
            files.append(File.generated(config, copied, abs_src_path=str(root / found)))
            if found.endswith(".md"):
                waiting.append((copied, root / found))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links out of the docs to what was taken along, and write the commands where they belong."""
    del config, files
    uri = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        found = _outside(uri, match["target"])
        if found is None:
            return match["target"]
        # What lies in the docs is a page of its own, also where a file of the repository links to it.
        inside = found.removeprefix("docs/") if found.startswith("docs/") else f"{TAKEN}/{found}"
        return posixpath.relpath(inside, posixpath.dirname(uri) or ".")

    return _TARGET.sub(moved, markdown).replace(COMMANDS, command_line() if COMMANDS in markdown else "")


def command_line() -> str:
    """The reference of all commands as Typer writes it, as Markdown below a heading of the page."""
    import typer
    from typer.cli import get_docs_for_click

    from ecad_automl.cli.app import app

    command = typer.main.get_command(app)
    with command.make_context("ecad-automl", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=command, ctx=context, name="ecad-automl")
    # The page has a title of its own, and what stands above the first command is on it in other words.
    _, *commands = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    text = re.sub(r"^## `ecad-automl (.*)`$", _heading, "".join(commands), flags=re.MULTILINE)
    text = text.replace("```console\n$ ", "```text\n")
    return re.sub(r"^(\* `[^`]*`: )(.*)$", lambda line: line[1] + _literal(line[2]), text, flags=re.MULTILINE)


def _heading(title: re.Match[str]) -> str:
    """That of a command, with its example below."""
    from ecad_automl.cli.commands import EXAMPLES

    return f"## {title[1]}\n\n```text\n{EXAMPLES[title[1]]}\n```"


def _literal(text: str) -> str:
    """The help of an option, in which stars are stars; what stands in backticks is literal anyway."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_])", r"\\\1", part) for part in parts)


def _targets(text: str) -> Iterator[str]:
    for match in _TARGET.finditer(_FENCED.sub("", text)):
        yield match["target"]


def _outside(uri: str, target: str) -> str | None:
    """The path in the repository of what a page links to, or None for the web and for what lies in the docs already.

    Args:
        uri: of the page, below ``docs/`` or below ``repository/``.
        target: a link without its anchor.
    """
    if re.match(r"[a-z]+:|/", target):
        return None
    here = uri.removeprefix(f"{TAKEN}/") if uri.startswith(f"{TAKEN}/") else f"docs/{uri}"
    found = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
    inside = found.startswith("docs/") and not uri.startswith(f"{TAKEN}/")
    return None if inside or found.startswith("..") else found
