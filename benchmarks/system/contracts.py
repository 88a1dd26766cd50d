"""How many cases of what others expect of this project are run by its tests, and what they came to.

Contracts that nobody here wrote, or uses that nobody here had thought of: Optuna's own tests of storages and samplers,
odd sequences of calls of a pipeline under a schedule, kills, and damaged studies. The tests are those of ``make test``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine

_ROOT = Path(__file__).parents[2]
#: By name: where the tests are.
CONTRACTS: Mapping[str, tuple[str, ...]] = {
    "Optuna's tests of storages": ("tests/storage/test_optuna_contract.py",),
    "Optuna's tests of samplers, and what its users do": ("tests/studies/binary/test_contract.py",),
    "odd calls of a pipeline under a schedule": (
        "tests/runtime/test_interrupted.py",
        "tests/runtime/test_misuse.py",
        "tests/runtime/test_removal.py",
    ),
    "kills at any instant": ("tests/storage/test_kill.py", "tests/studies/test_kills.py"),
    "damaged studies and backups": ("tests/security/test_backup.py", "tests/security/test_check.py"),
}
OUTCOMES = ("held", "refused as they should be", "skipped", "failed")
#: What did not hold when it was first tried, and does now.
MENDED: Mapping[str, tuple[str, ...]] = {
    "Optuna's tests of storages": (
        "pages showed the trials of a deleted study under a new one that SQLite had given its id",
        "the storage of pages could not be pickled",
    ),
    "Optuna's tests of samplers, and what its users do": (
        "a value of 1e308 ended a study for good",
        "an outage of some fifty trials ended it for good",
        "`reseed_rng` changed nothing",
        "a trial was recorded with parameters that its genome does not have",
        "a study that `copy_study` copied had no parents",
        "other parameters and one objective were no `ValueError`",
    ),
    "odd calls of a pipeline under a schedule": (
        "a hook that was there when a block was first recorded left that block slow when it was gone",
        "in a race the second of two pipelines on one transformer got the uncached image without an error",
    ),
}


def main(workers: int = 0, only: str | None = None, results: Path = RESULTS) -> None:
    """Run the tests of all contracts or one, and keep the counts; the exit code is 1 where one failed."""
    if only is not None and only not in CONTRACTS:
        raise typer.BadParameter(f"there is no contract {only!r}; choose from {', '.join(CONTRACTS)}.")
    path = results / "contracts.json"
    kept: dict[str, Any] = json.loads(path.read_text())["contracts"] if path.exists() else {}
    for name in CONTRACTS if only is None else [only]:
        kept[name] = {"machine": machine(), "cases": counted(_report(CONTRACTS[name], workers))}
        Console().print(name, kept[name]["cases"], markup=False)
        ordered = {each: kept[each] for each in CONTRACTS if each in kept}
        path.write_text(json.dumps({"contracts": ordered}, indent=1) + "\n")
        (results / "contracts.md").write_text(table(ordered) + "\n")
    raise typer.Exit(1 if any(found["cases"]["failed"] for found in kept.values()) else 0)


def _report(paths: tuple[str, ...], workers: int) -> ET.ElementTree[Any]:
    """What pytest tells of tests in its form for other programs."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), f"--junitxml={report}", *paths]
        done = subprocess.run(command, cwd=_ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
        if not report.exists():
            raise typer.BadParameter(f"the tests could not be begun; pytest ended with {done.returncode}.")
        return ET.parse(report)  # noqa: S314 - pytest has just written it


def counted(report: ET.ElementTree[Any]) -> dict[str, int]:
    """How many cases there were of each outcome.

    A case that must end in an error of ours, and does, is one that pytest knows as an expected failure.
    """
    found: Counter[str] = Counter()
    for test in report.iter("testcase"):
        skipped = test.find("skipped")
        if test.find("failure") is not None or test.find("error") is not None:
            found["failed"] += 1
        elif skipped is None:
            found["held"] += 1
        else:
            found["refused as they should be" if skipped.get("type") == "pytest.xfail" else "skipped"] += 1
    return {outcome: found[outcome] for outcome in OUTCOMES}


def table(contracts: Mapping[str, Any]) -> str:
    """Counts by contract in Markdown, and what was mended."""
    lines = [f"| contract | cases | {' | '.join(OUTCOMES)} | mended |", "|---" * (len(OUTCOMES) + 3) + "|"]
    for name, found in contracts.items():
        cells = [sum(found["cases"].values()), *found["cases"].values(), len(MENDED.get(name, ()))]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    mended = [f"- {name}: {'; '.join(MENDED[name])}." for name in contracts if name in MENDED]
    return "\n".join([*lines, "", "Mended were:", "", *mended])


if __name__ == "__main__":
    typer.run(main)
