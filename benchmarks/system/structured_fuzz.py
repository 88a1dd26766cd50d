"""Sound documents in which one thing was changed: how many are accepted, how many refused, and the faults.

Bytes of any kind are refused by the first check of a parser, and what is behind it is hardly tried. So here each input
is a document that is sound but for one value, key or character. Each run goes on where the one before ended, with other
seeds, and adds what it counts to the results: a large number can be reached in pieces.
"""

from __future__ import annotations

import itertools
import json
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine
from tests.fuzz.documents import STRUCTURED, STRUCTURED_TARGETS
from tests.fuzz.targets import TARGETS, Target, run

#: Inputs of one seed.
_PIECE = 100
#: Inputs of some targets beside those of others: texts take microseconds, a database a tenth of a second.
_SHARES = {
    "row of a study": 0.05,
    "prompt split": 15.0,
    "storage": 25.0,
    "hub reference": 100.0,
    "reward and constraint": 110.0,
}
_COUNTS = ("inputs", "accepted", "faults")


def main(inputs: int = 4000, only: str | None = None, minutes: float = 600.0, results: Path = RESULTS) -> None:
    """Try so many inputs of each target, and add them up; the exit code is 1 where there was a fault.

    Args:
        inputs: of a target that reads a small file; more of those that are quicker, fewer of slower ones.
        only: the name of one target.
        minutes: the time after which no further piece is begun.
        results: where the counts are kept.
    """
    console, path = Console(), results / "structured_fuzz.json"
    found = json.loads(path.read_text())["targets"] if path.exists() else {}
    end, faults = time.monotonic() + 60 * minutes, 0
    for name in STRUCTURED if only is None else [only]:
        told = found.setdefault(name, dict.fromkeys(_COUNTS, 0))
        for _ in range(max(1, round(inputs * _SHARES.get(name, 1.0) / _PIECE))):
            if time.monotonic() > end:
                break
            with console.status(f"{name}: {told['inputs']} inputs ..."):
                counts, said = _piece(name, seed=told["inputs"])
            faults += counts["faults"]
            for key in _COUNTS:
                told[key] += counts[key]
            if said:
                console.print(said, markup=False)
        console.print(f"{name}: {told}", markup=False)
        document = {"machine": machine(), "targets": found}
        path.write_text(json.dumps(document, indent=2) + "\n")
        (results / "structured_fuzz.md").write_text(table(document) + "\n")
    raise typer.Exit(1 if faults else 0)


def _piece(name: str, seed: int) -> tuple[dict[str, int], str]:
    """Counts of some inputs, and of one fault what was said."""
    target: Target = {**TARGETS, **STRUCTURED_TARGETS}[name]
    counts, said = dict.fromkeys(_COUNTS, 0), ""
    for data in itertools.islice(STRUCTURED[name].inputs(seed), _PIECE):
        counts["inputs"] += 1
        try:
            counts["accepted"] += run(target, data)
        except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
            counts["faults"] += 1
            said = f"{data[:2000]!r}\n{traceback.format_exc()}"
    return counts, said


def table(document: Mapping[str, Any]) -> str:
    """What was tried, in Markdown."""
    found = document["targets"]
    total = {key: sum(told[key] for told in found.values()) for key in _COUNTS}
    rows = [_row(name, told) for name, told in (*found.items(), ("all", total))]
    return "\n".join(["| sound but for one thing | inputs | of these accepted | faults |", "|---|---|---|---|", *rows])


def _row(name: str, told: Mapping[str, int]) -> str:
    share = told["accepted"] / max(1, told["inputs"])
    return f"| {name} | {told['inputs']} | {told['accepted']} ({share:.0%}) | {told['faults']} |"


if __name__ == "__main__":
    typer.run(main)
