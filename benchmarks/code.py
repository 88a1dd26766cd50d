"""Which code a kept run was made by, so that a run of other code is never taken for one of this.

A commit names the code but changes with every page that is written, so beside it a run keeps a digest of what it really
depends on: the sources of the modules that made it, and of all that these import, less comments and docstrings.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["ACCEPT", "DYNAMIC", "Made", "commit", "digest", "made_by", "of_other_code"]

_ROOT = Path(__file__).parents[1]
#: Of this project; what else is imported is told by its version.
_PACKAGES = ("benchmarks", "ecad_automl", "storage", "studies", "surrogate", "training")
#: What is imported by name while it runs.
DYNAMIC = (
    "ecad_automl.flow_shapes.classifier",
    "ecad_automl.metrics",
    "ecad_automl.rewards.shapes",
    "ecad_automl.runtime.families.flux",
    "ecad_automl.runtime.families.pixart",
    "ecad_automl.shapes.classifier",
)

#: The help of the option that takes runs of other code.
ACCEPT = "Take kept runs of other code for done."

#: What a kept run tells of its code: ``commit`` and ``code``, its digest.
Made = dict[str, str]


def made_by(modules: Iterable[str], weights: Path | None = None) -> Made:
    """What is kept of the code of a run.

    Args:
        modules: dotted names of those that make it.
        weights: folder of the weights that it uses.
    """
    return {"commit": commit(), "code": digest(tuple(modules), weights)}


def commit() -> str:
    """Of this checkout; marked where files were changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git as it is installed
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


@cache
def digest(modules: tuple[str, ...], weights: Path | None = None) -> str:
    """Of the sources of some modules, of all of this project that they import, and of weights: 12 hex digits."""
    found = hashlib.sha256()
    for path in sorted(_imported([*modules, *DYNAMIC])):
        found.update(str(path.relative_to(_ROOT)).encode())
        found.update(ast.dump(_without_docstrings(ast.parse(path.read_text(encoding="utf-8")))).encode())
    for path in sorted(weights.rglob("*.safetensors")) if weights else ():
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def of_other_code(runs: Mapping[str, Mapping[str, Any]], *, accepted: bool) -> str:
    """What a script says of kept runs that other code has made.

    Args:
        runs: those, by name, with ``commit`` where that was kept.
        accepted: whether they are taken for done all the same.
    """
    commits = ", ".join(sorted({str(run.get("commit", "unknown")) for run in runs.values()}))
    names = ", ".join(list(runs)[:3]) + (", ..." if len(runs) > 3 else "")
    fate = "taken as they are" if accepted else "run again; --accept-other-code takes them as they are"
    return f"{len(runs)} kept runs are of other code ({names}; commits {commits}) and are {fate}."


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                del body[0]
    return tree


def _imported(modules: Iterable[str]) -> set[Path]:
    """The files of modules and of all of this project that they import, in functions too, but not for types alone."""
    found: set[Path] = set()
    left = [path for name in modules if (path := _file(name)) is not None]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        for node in _run_nodes(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:  # relative imports are not used here
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            left += [file for name in names if (file := _file(name)) is not None]
    return found


def _run_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it but for what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _run_nodes(child)


def _file(module: str) -> Path | None:
    """Of a module of this project; None of anything else, such as a name inside a module."""
    if module.partition(".")[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)
