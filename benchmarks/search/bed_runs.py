"""Runs on held-out captions of a test bed, kept with the figures of every image.

So scripts go on where they were interrupted, and the tables of one are paired with the runs of another.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.machine import RESULTS, machine
from benchmarks.search.beds import BEDS, HELD_OUT_NOISES, Figures, score
from ecad_automl.judging.evaluation import Evaluator

__all__ = ["Contestant", "Contestants", "figures_of", "keep_runs", "kept_runs_of", "wanted_beds"]


@dataclass(frozen=True)
class Contestant:
    """What is run.

    Args:
        saved: how many times fewer MACs than the uncached run.
        make: makes the images, by caption, then noise.
    """

    saved: float
    make: Callable[[], Any]


#: By name.
Contestants = Mapping[str, Contestant]


def keep_runs(
    kind: str, bed: str, evaluator: Evaluator, contestants: Contestants, *, results: Path, other_commits: bool = False
) -> dict[str, Any]:
    """Run what is not kept yet.

    Args:
        kind: of the file, before the name of the bed.
        bed: name of the bed.
        evaluator: of its held-out captions.
        contestants: what to run.
        results: folder of the file.
        other_commits: take kept runs of other commits too.

    Returns:
        By name, ``saved``, ``commit`` and the figures of every image; those of contestants alone.
    """
    path = results / f"{kind}-{bed}.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    about = {"captions": len(evaluator.prompts), "noises": list(HELD_OUT_NOISES)}
    if kept and any(kept[key] != value for key, value in about.items()):
        kept = {}
    runs: dict[str, Any] = {
        name: run
        for name, run in kept.get("runs", {}).items()
        if name in contestants and (other_commits or run["commit"] == _commit())
    }
    for name, contestant in track(contestants.items(), f"{bed}: held-out runs"):
        if name not in runs:
            figures = score(evaluator, contestant.make()).to_json()
            runs[name] = {"saved": round(contestant.saved, 6), "commit": _commit(), **figures}
            document = {**about, "machine": machine(), "steps": evaluator.settings.steps, "runs": runs}
            path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    return {name: runs[name] for name in contestants}


def kept_runs_of(kind: str, bed: str, results: Path = RESULTS) -> dict[str, Any]:
    """What :func:`keep_runs` has kept; nothing where there is no file."""
    path = results / f"{kind}-{bed}.json"
    return dict(json.loads(path.read_text())["runs"]) if path.exists() else {}


def figures_of(run: Mapping[str, Any]) -> Figures:
    """The figures of a kept run."""
    return Figures.from_json({name: run[name] for name in ("loss", "psnr", "margin")})


def wanted_beds(named: list[str] | None) -> list[str]:
    """Those that were named, or all but the last one."""
    return named or [name for name, bed in BEDS.items() if not bed.last]


def _commit() -> str:
    """Of this checkout; marked where files were changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git as it is installed
        cwd=RESULTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"
