"""The tests on the lowest versions that ``pyproject.toml`` allows, folder by folder: what they came to is kept.

Run by the Python of an environment with these versions (``make test-lowest``). A run that was broken off goes on with
the folders that are left; ``--again`` begins anew, as do other versions.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.machine import RESULTS
from scripts.lowest import lowest

_ROOT = Path(__file__).parents[2]
OUTCOMES = ("passed", "skipped", "xfailed", "failed", "errors")
#: Old packages use what new ones call deprecated; that is for their authors to mend.
_OLD = ("DeprecationWarning", "FutureWarning", "PendingDeprecationWarning")
_NO_TESTS = 5


def main(only: str | None = None, again: bool = False, workers: int = 0, results: Path = RESULTS) -> None:
    """Run the tests that are not slow, and keep the counts; the exit code is 1 where one failed."""
    path = results / "lowest_versions.json"
    versions = installed((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() and not again else {}
    folders: dict[str, Any] = kept["folders"] if kept.get("versions") == versions else {}
    tests = _ROOT / "tests"
    names = [*sorted(each.name for each in tests.iterdir() if any(each.rglob("test_*.py"))), "."]
    for name in names if only is None else [only]:
        if name in folders and only is None:
            continue
        paths = [str(tests / name)] if name != "." else [str(each) for each in sorted(tests.glob("test_*.py"))]
        ignored = [part for each in _OLD for part in ("-W", f"default::{each}")]
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-n", str(workers), *ignored, *paths]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=_ROOT, env=environment, check=False, stdout=subprocess.PIPE, text=True)
        folders[name] = counts(done.stdout)
        if done.returncode not in (0, _NO_TESTS):
            Console().print(done.stdout, markup=False, highlight=False)
        Console().print(name, folders[name], markup=False)
        path.write_text(json.dumps({"versions": versions, "folders": folders}, indent=1) + "\n")
        (results / "lowest_versions.md").write_text(page({"versions": versions, "folders": folders}) + "\n")
    raise typer.Exit(1 if any(found["failed"] + found["errors"] for found in folders.values()) else 0)


def installed(project: str) -> dict[str, str]:
    """Python and what is pinned, in the versions that there are.

    Args:
        project: the text of a ``pyproject.toml``.
    """
    pinned = [re.split(r"[\[=]", each)[0] for each in lowest(project) if "==" in each]
    return {"python": platform.python_version(), **{name: version(name) for name in pinned}}


def counts(output: str) -> dict[str, int]:
    """What pytest's last line says."""
    found = re.findall(r"^.*\bin [\d.]+s\b.*$", output, re.MULTILINE)
    last = found[-1] if found else ""
    told = {outcome: re.search(rf"(\d+) {outcome.removesuffix('s')}s?\b", last) for outcome in OUTCOMES}
    return {outcome: int(match[1]) if match else 0 for outcome, match in told.items()}


def page(document: Mapping[str, Any]) -> str:
    """The versions and the counts, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    return f"Versions: {versions}.\n\n{table(document['folders'])}"


def table(folders: Mapping[str, Mapping[str, int]]) -> str:
    """Counts by folder of tests and of all, in Markdown."""
    total = {each: sum(of[each] for of in folders.values()) for each in OUTCOMES}
    rows = {**dict(sorted(folders.items())), "all": total}
    lines = [f"| tests | {' | '.join(OUTCOMES)} |", "|---" * (len(OUTCOMES) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(str(of[each]) for each in OUTCOMES) + " |" for name, of in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
