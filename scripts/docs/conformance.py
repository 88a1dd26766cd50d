"""What the tests of conformance gave, by case and property: run, kept in ``docs/conformance.json``, and read.

A test marked ``conformance`` is about one property, and its reports tell which and of what
(``tests/runtime/conftest.py``).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import warnings
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

from ecad_automl.runtime.families import FAMILIES, family_of
from tests.runtime.cases import ALL_CASES

__all__ = ["PROPERTIES", "load", "run"]

_ROOT = Path(__file__).parents[2]
RESULTS = _ROOT / "docs" / "conformance.json"

#: What is tested of each case; the last one of each family.
PROPERTIES = {
    "all-compute": "a run in which everything is computed is bit-identical to the untouched pipeline",
    "definition": "random schedules give, bit for bit with `fuse=False`, what a slow replay of the definition gives",
    "forecasts and skips": "so do schedules that forecast outputs and skip whole steps",
    "guidance": "so do schedules that leave out guidance branches, at MACs that are exact",
    "MACs": "MACs of a run under a schedule, counted as it runs, are those that were predicted",
    "exception": "a call that raises half-way leaves nothing for the next one",
    "branches": "each transformer call of a step is told apart as a guidance branch with outputs of its own",
    "batch and size": "other batches and sizes may come in between, and each run is as if it were the first",
    "second order": "a schedule has a step for each call of schedulers that make more than they are asked for",
    "image to image": "runs that leave out steps, as with a strength below 1, are made of the schedule's last steps",
}


def run(workers: int, only: str | None = None) -> int:
    """Run the tests of conformance and keep what came out.

    Args:
        workers: processes that run tests.
        only: pytest's ``-k``: of which tests, as those of new subjects, while what is known of the others stays.

    Returns:
        The exit status of pytest: 0 where all passed.

    Raises:
        ValueError: others came out with other versions than those that are installed.
    """
    versions = {"python": platform.python_version(), "torch": version("torch"), "diffusers": version("diffusers")}
    known = load() if only is not None else {"versions": versions, "cases": {}, "families": {}}
    if known["versions"] != versions:
        raise ValueError(f"Others came out with {known['versions']}, and {versions} are installed; run all.")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "conformance", "-n", str(workers), "tests/runtime"]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # workers share cores
        command += [f"--junitxml={report}", *([] if only is None else ["-k", only])]
        status = subprocess.run(command, cwd=_ROOT, env=one_thread, check=False).returncode  # noqa: S603 - ours
        found = _found(report)

    def of(part: str, name: str) -> dict[str, Any]:
        before = known[part].get(name, {"properties": {}})["properties"]
        both = {**before, **found[name]}
        return {"properties": {each: both[each] for each in PROPERTIES if each in both}}

    cases = {name: _described(name) | of("cases", name) for name in ALL_CASES}
    families = {name: of("families", name) for name in FAMILIES}
    RESULTS.write_text(json.dumps({"versions": versions, "cases": cases, "families": families}, indent=1) + "\n")
    return status


def _found(report: Path) -> dict[str, dict[str, Any]]:
    """Results by subject and property."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for test in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest has just written it
        told: dict[str, list[str]] = defaultdict(list)
        for entry in test.iter("property"):
            told[entry.attrib["name"]].append(entry.attrib["value"])
        (name,), (subject,) = told["conformance"], told["subject"]
        if name not in PROPERTIES:
            raise ValueError(
                f"{test.attrib['name']} is about {name!r}, which scripts/docs/conformance.py does not describe."
            )
        result = found[subject].setdefault(name, {"passed": 0, "of": 0})
        result["passed"] += all(test.find(kind) is None for kind in ("failure", "error", "skipped"))
        result["of"] += 1
        if told["note"]:
            result["notes"] = sorted({*result.get("notes", []), *told["note"]})
    # Workers finish in any order.
    return defaultdict(
        dict, {subject: {name: of[name] for name in PROPERTIES if name in of} for subject, of in found.items()}
    )


def load() -> dict[str, Any]:
    """What came out the last time."""
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def _described(name: str) -> dict[str, Any]:
    """The transformer of a case, and its slots by the list of blocks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some diffusers classes warn of themselves
        transformer = ALL_CASES[name]().pipe.transformer
        groups = family_of(transformer).groups
    slots = {group.path: [part.name for part in group.components] for group in groups}
    return {"transformer": type(transformer).__name__, "slots": slots}
