"""Runs on a test bed, kept with the figures of every image, the code and the machine that made them.

So scripts go on where they were interrupted, and the tables of one are paired with the runs of another.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.code import made_by, of_other_code
from benchmarks.machine import RESULTS, machine
from benchmarks.search.beds import BEDS, Figures, score
from benchmarks.search.contestant import Contestant, DoesNotRunError
from benchmarks.search.protocol import TOLERANCE
from ecad_automl.bundled import BUNDLED
from ecad_automl.judging.evaluation import Evaluator

__all__ = [
    "at",
    "figures_of",
    "keep_runs",
    "kept_runs_of",
    "wanted_beds",
]


#: What the figures of every run come from.
_SCORED_BY = "benchmarks.search.beds"


def keep_runs(
    kind: str,
    bed: str,
    evaluator: Evaluator,
    contestants: Mapping[str, Contestant],
    *,
    results: Path,
    accept_other_code: bool = False,
    beside: Collection[str] = (),
) -> dict[str, Any]:
    """Run what is not kept yet, or only by other code.

    Args:
        kind: of the file, before the name of the bed.
        bed: name of the bed.
        evaluator: of its captions.
        contestants: what to run.
        results: folder of the file.
        accept_other_code: take kept runs of other code for done too.
        beside: methods that are not among the contestants now, whose kept runs stay.

    Returns:
        By name, ``method``, ``saved``, ``commit``, ``code``, ``machine`` and the figures of every image, or ``failed``
        with the reason; those of contestants and of what stays beside them.
    """
    path = results / f"{kind}-{bed}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    about = {"captions": len(evaluator.prompts), "noises": list(evaluator.seeds), "steps": evaluator.settings.steps}
    console = Console(stderr=True)
    if kept and (different := [key for key, value in about.items() if kept.get(key) != value]):
        names = ", ".join(f"{key} {kept.get(key)} for {about[key]}" for key in different)
        console.print(f"{bed}: what is kept has {names}; all is run again.", highlight=False, soft_wrap=True)
        kept = {}
    weights = BUNDLED[BEDS[bed].model].weights
    made = {name: made_by((_SCORED_BY, *one.modules), weights) for name, one in contestants.items()}
    known: dict[str, Any] = kept.get("runs", {})
    other = {name: run for name, run in known.items() if name in made and run.get("code") != made[name]["code"]}
    if other:
        console.print(f"{bed}: {of_other_code(other, accepted=accept_other_code)}", highlight=False, soft_wrap=True)
    runs = {
        name: run
        for name, run in known.items()
        if (name in made and (accept_other_code or name not in other))
        or (name not in made and run.get("method") in beside)
    }
    for name, contestant in track(contestants.items(), f"{bed}: {kind}", console=console):
        if name not in runs:
            runs[name] = {
                "method": contestant.method,
                **made[name],
                "machine": machine(),
                **_run(evaluator, contestant),
            }
            # Runs of other code stay until they are replaced, so that an interruption loses nothing.
            _write(path, about, {**other, **runs})
    runs = {name: runs[name] for name in [*contestants, *(name for name in runs if name not in made)]}
    _write(path, about, runs)
    return runs


def _run(evaluator: Evaluator, contestant: Contestant) -> dict[str, Any]:
    try:
        images = contestant.make()
    except DoesNotRunError as error:
        return {"failed": str(error)}
    saved = contestant.saved() if callable(contestant.saved) else contestant.saved
    return {"saved": round(saved, 6), **score(evaluator, images).to_json()}


def _write(path: Path, about: Mapping[str, Any], runs: Mapping[str, Any]) -> None:
    """One line for each run."""
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(run, separators=(',', ':'))}" for name, run in runs.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(f'{json.dumps(about)[:-1]}, "runs": {{\n{lines}\n}}}}\n')
    partial.replace(path)


def kept_runs_of(kind: str, bed: str, results: Path = RESULTS) -> dict[str, Any]:
    """What :func:`keep_runs` has kept; nothing where there is no file."""
    path = results / f"{kind}-{bed}.json"
    return dict(json.loads(path.read_text())["runs"]) if path.exists() else {}


def figures_of(run: Mapping[str, Any]) -> Figures:
    """The figures of a kept run."""
    return Figures.from_json({name: run[name] for name in ("loss", "psnr", "margin")})


def at(runs: Mapping[str, Any], method: str, speedup: float) -> str | None:
    """The run of a method that saves enough and the least of those; None where none does."""
    allowed = 1 / speedup * (1 + TOLERANCE)
    names = [
        name
        for name, run in runs.items()
        if run["method"] == method and "failed" not in run and 1 / run["saved"] <= allowed
    ]
    return min(names, key=lambda name: float(runs[name]["saved"]), default=None)


def wanted_beds(named: list[str] | None) -> list[str]:
    """Those that were named, or all but the last one."""
    return named or [name for name, bed in BEDS.items() if not bed.last]
