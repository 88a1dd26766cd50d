"""Inputs that nobody meant for the parsers, guided by coverage with Atheris: how many were tried, and the crashes.

Each parser runs in a process of its own, so one that crashes does not end the others. Needs ``ecad-automl[fuzz]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from tests.fuzz.targets import TARGETS

#: Seconds on the clock that a process may take beyond its processor time, where others use the machine too.
_PATIENCE = 3000


def main(seconds: float = 20.0, only: str | None = None, results: Path = RESULTS) -> None:
    """Fuzz every parser for so many seconds, and write the table; the exit code is 1 where one crashed.

    Args:
        seconds: of processor time for each parser.
        only: the name of one parser, of which no table is written.
        results: where the table goes.
    """
    console = Console()
    found = {}
    for name in TARGETS if only is None else [only]:
        with console.status(f"{name} ..."):
            found[name] = _run(name, seconds)
        told = found[name]
        console.print(
            f"{name}: {told['inputs']} inputs, {told['parsed']} parsed, {told['crashes']} crashes", markup=False
        )
        if told["crashes"]:
            console.print(told["said"], markup=False)
    crashes = sum(told["crashes"] for told in found.values())
    if only is None:
        document = {"machine": machine(), "atheris": version("atheris"), "seconds": seconds, "targets": found}
        (results / "fuzz.json").write_text(json.dumps(document, indent=2) + "\n")
        (results / "fuzz.md").write_text(table(document) + "\n")
    raise typer.Exit(1 if crashes else 0)


def _run(name: str, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts.json"
        command = [sys.executable, "-m", "tests.fuzz.guided", name, "--seconds", str(seconds), "--out", str(out)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + _PATIENCE)
        counts = json.loads(out.read_text()) if out.exists() else {"inputs": 0, "parsed": 0, "crashes": 1}
    # The counts are written at the end, so a process that ended before has tried more than it says.
    return {**counts, "said": done.stderr[-2000:]} if counts["crashes"] or done.returncode else counts


def table(document: Mapping[str, Any]) -> str:
    """What was tried, in Markdown."""
    found = document["targets"]
    rows = [f"| {name} | {told['inputs']} | {_parsed(told)} | {told['crashes']} |" for name, told in found.items()]
    total = [sum(int(told[key]) for told in found.values()) for key in ("inputs", "parsed", "crashes")]
    return "\n".join(
        [
            f"Atheris {document['atheris']}, {document['seconds']:g} s of processor time a parser, by",
            "`python -m benchmarks.system.fuzz`.",
            "",
            "| parser | inputs tried | of these parsed | crashes |",
            "|---|---|---|---|",
            *rows,
            f"| all | {total[0]} | {total[1]} | {total[2]} |",
        ]
    )


def _parsed(told: Mapping[str, Any]) -> str:
    """Where nothing got through, only the refusal was tried, and not what comes behind it."""
    return str(told["parsed"]) if told["parsed"] else "none: the refusal alone was tried"


if __name__ == "__main__":
    typer.run(main)
