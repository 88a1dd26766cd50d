"""diffusers' own pipeline tests, without a schedule and under one that computes all: the outcome must be the same.

Takes a checkout of diffusers, at best of the version that is installed; what is tested is what is installed. Each set
of tests is run twice in processes of their own, and its counts are written before the next one begins, beside those
with other versions of diffusers; ``--only`` names one. FLUX's tests of LoRAs are run under a schedule that reuses all
steps but the first as well, which stays on the pipeline while adapters are loaded, scaled, fused and unloaded.

The tests take text models of some kilobytes from the hub. They come from the hub's cache or the hub itself with
``--hub``; else there are stand-ins, of which numbers that tests expect of a prompt may be others, alike in both runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.machine import RESULTS, machine

_ROOT = Path(__file__).parents[2]
_PIPELINES = "tests/pipelines/"
_FLUX_LORA = (f"{_PIPELINES}flux", "tests/lora/test_lora_layers_flux.py", "-k", "lora")
#: By name: the schedule, and what pytest is told.
_SETS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "PixArt": ("all-compute", (f"{_PIPELINES}pixart_alpha",)),
    "PixArt Sigma": ("all-compute", (f"{_PIPELINES}pixart_sigma",)),
    "Stable Diffusion 3": ("all-compute", (f"{_PIPELINES}stable_diffusion_3",)),
    "FLUX": ("all-compute", (f"{_PIPELINES}flux",)),
    "Sana": ("all-compute", (f"{_PIPELINES}sana",)),
    "Qwen-Image": ("all-compute", (f"{_PIPELINES}qwenimage",)),
    "Lumina 2": ("all-compute", (f"{_PIPELINES}lumina2",)),
    "Wan": ("all-compute", (f"{_PIPELINES}wan",)),
    "FLUX with LoRA": ("all-compute", _FLUX_LORA),
    "FLUX with LoRA, steps reused": ("reuse", _FLUX_LORA),
}
_OUTCOMES = ("passed", "failed", "error", "skipped")


def main(source: Path, only: str | None = None, hub: bool = False, results: Path = RESULTS) -> None:
    """Run all sets of tests or one, and keep the counts; the exit code is 1 where an outcome differs.

    Args:
        source: the checkout of diffusers.
        only: the name of one set.
        hub: let the tests load what they want from the hub.
        results: where the counts are kept.
    """
    named = source / "src" / "diffusers" / "__init__.py"
    if not named.is_file() or not (source / _PIPELINES).is_dir():
        raise typer.BadParameter(f"{source} is no checkout of diffusers: it has no {_PIPELINES} or no src/diffusers.")
    if only is not None and only not in _SETS:
        raise typer.BadParameter(f"there is no set {only!r}; choose from {', '.join(_SETS)}.")
    path, console = results / "diffusers_tests.json", Console()
    tests = {
        "source": re.findall(r'__version__ = "(.+)"', named.read_text())[0],
        "text models": "of the hub" if hub else "stand-ins",
    }
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    # Rows are of the same tests, or they are begun anew.
    document = kept if tests.items() <= kept.items() else {**tests, "sets": {}}
    document["machine"] = machine()
    with tempfile.TemporaryDirectory() as folder:
        cache = None if hub else Path(folder) / "hub"
        if cache is not None:
            from benchmarks.system.hub_stand_ins import make_stand_ins  # imports transformers

            make_stand_ins(cache)
        for name in _SETS if only is None else [only]:
            mode, arguments = _SETS[name]
            plain, scheduled = (_outcomes(source, arguments, each, cache) for each in ("none", mode))
            versions = plain["versions"]
            found = {"versions": versions, **compared(plain["tests"], scheduled["tests"])}
            document["sets"].setdefault(name, {})[versions["diffusers"]] = found
            console.print(name, found, markup=False)
            path.write_text(json.dumps(document, indent=1) + "\n")
            (results / "diffusers_tests.md").write_text(table(document) + "\n")
    raise typer.Exit(1 if any(found["differ"] for rows in document["sets"].values() for found in rows.values()) else 0)


def _outcomes(source: Path, arguments: tuple[str, ...], mode: str, cache: Path | None) -> dict[str, Any]:
    """What each test came to, by its name, and the versions with which."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        more = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        paths = [str(_ROOT), *(str(Path(each).resolve()) for each in more)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SCHEDULE": mode, "OUTCOMES": str(path)}
        if cache is not None:
            environment |= {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        plugins = ("-p", "benchmarks.system.scheduled_pipelines", "-p", "no:cacheprovider")
        # Not as a module, which would put the checkout in front of this project.
        program = [sys.executable, "-P", "-m", "pytest", "-q", *plugins, *arguments]
        done = subprocess.run(program, cwd=source, env=environment, check=False, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"tests": {}}
        if not found["tests"]:
            raise typer.BadParameter(f"the tests could not be begun:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        return found


def compared(plain: Mapping[str, Any], scheduled: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of both runs of a set, and what is not the same in both."""
    ran = [test for test in scheduled.values() if test["scheduled"]]
    refused: Counter[str] = Counter()
    for test in scheduled.values():
        refused.update(test["refused"])
    both = {name: (plain.get(name), scheduled.get(name)) for name in sorted({*plain, *scheduled})}
    return {
        "tests": len(both),
        "without": _counts(plain),
        "with": _counts(scheduled),
        "under a schedule": len(ran),
        "of these passed": sum(test["outcome"] == "passed" for test in ran),
        "calls": sum(test["scheduled"] for test in ran),
        "refused calls": dict(refused),
        "why others did not pass": dict(
            Counter(_reason(test) for test in plain.values() if test["outcome"] != "passed")
        ),
        "differ": [name for name, (one, other) in both.items() if not _alike(one, other, "outcome")],
        "say something else": [name for name, (one, other) in both.items() if not _alike(one, other, "said")],
    }


def _counts(tests: Mapping[str, Any]) -> dict[str, int]:
    found = Counter(test["outcome"] for test in tests.values())
    return {outcome: found[outcome] for outcome in _OUTCOMES}


def _alike(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, key: str) -> bool:
    return one is not None and other is not None and one[key] == other[key]


def _reason(test: Mapping[str, Any]) -> str:
    said: str = test["said"].splitlines()[0] if test["said"] else ""
    # Where it stands comes before, and quotes of either kind around it; a long one has no end.
    skipped = re.search(r"Skipped: (.*?)[\"']?\)?$", said)
    return f"{test['outcome']}: {(skipped[1] if skipped else said)[:120]}"


def table(document: Mapping[str, Any]) -> str:
    """What the tests came to, in Markdown."""
    heads = (
        "| tests of | run on diffusers | peft | tests | passed without and with | failed alike | skipped alike "
        "| run under a schedule | calls | calls refused | other outcome |"
    )
    begin = f"Tests that diffusers {document['source']} comes with, text models: {document['text models']}."
    rows = [_row(name, found) for name, each in document["sets"].items() for _, found in sorted(each.items())]
    return "\n".join([begin, "", heads, "|---" * 11 + "|", *rows])


def _row(name: str, found: Mapping[str, Any]) -> str:
    without, under = found["without"], found["with"]
    failed = without["failed"] + without["error"]
    cells = [
        name,
        found["versions"]["diffusers"],
        found["versions"]["peft"],
        found["tests"],
        f"{without['passed']} and {under['passed']}",
        failed,
        without["skipped"],
        found["under a schedule"],
        found["calls"],
        sum(found["refused calls"].values()),
        len(found["differ"]),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    typer.run(main)
