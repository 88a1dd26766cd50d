"""``ecad-automl plot``: pictures of a study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console

from ecad_automl.cli.options import Out, Storage, Study
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.plots.front import Point
from storage import BaselineRecord, EvaluationRecord

__all__ = ["plot"]


def plot(storage: Storage = "sqlite:///ecad.db", study: Study = None, out: Out = Path("plots")) -> None:
    """Draw the front beside its baselines, and hypervolume against evaluations, as PNG files."""
    found = read_study(storage, study)
    console = Console()
    for path in (_front(found, out), _convergence(found, out)):
        console.print(str(path), highlight=False, soft_wrap=True)


def _front(study: StoredStudy, out: Path) -> Path:
    from ecad_automl.plots import plot_front

    front = study.front()
    chosen = {record.genome for record in front}
    rest = [record for record in study.evaluations if record.genome not in chosen]
    heuristics = [r for r in rest if r.origin != "bred" and not r.origin.startswith("drift")]
    others = [r for r in rest if r not in heuristics]
    path = out / f"{study.name}-front.png"
    plot_front(
        path,
        front=[_point(r) for r in front],
        candidates=[_point(r) for r in others],
        heuristics=[_point(r, r.origin) for r in heuristics],
        fewer_steps=[_point(r, r.name) for r in sorted(study.baselines.values(), key=lambda r: r.gmacs)],
        uncached=_point(study.uncached),
        reward_name=str(study.identity["reward"]),
        title=f"{study.name}: {len(study.evaluations)} schedules evaluated on {len(study.identity['prompts'])} prompts",
    )
    return path


def _convergence(study: StoredStudy, out: Path) -> Path:
    from ecad_automl.plots import plot_convergence
    from studies.quality import Scale

    floor = min(study.evaluations, key=lambda r: r.gmacs)
    scale = Scale(study.uncached.reward, floor.reward, study.uncached.gmacs)
    rewards = [r.reward for r in study.evaluations]
    gmacs = [r.gmacs for r in study.evaluations]
    curve = np.array([[scale.hypervolume(rewards[:n], gmacs[:n]) for n in range(1, len(rewards) + 1)]])
    path = out / f"{study.name}-hypervolume.png"
    plot_convergence(path, {"this study": curve}, title=f"{study.name}: hypervolume against evaluations")
    return path


def _point(record: EvaluationRecord | BaselineRecord, label: str = "") -> Point:
    return Point(record.gmacs, record.reward, 1.96 * (record.reward_drop_se or 0.0), label)
