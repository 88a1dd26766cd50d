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
    heuristics = [r for r in rest if r.origin != "bred" and not r.origin.startswith(("drift", "init:"))]
    others = [r for r in rest if r not in heuristics]
    path = out / f"{study.name}-front.png"
    plot_front(
        path,
        front=[_point(study, r) for r in front],
        candidates=[_point(study, r) for r in others],
        heuristics=[_point(study, r, r.origin) for r in heuristics],
        fewer_steps=[_point(study, r, r.name) for r in sorted(study.baselines.values(), key=study.cost.of)],
        uncached=_point(study, study.uncached),
        reward_name=str(study.identity["reward"]),
        cost_name=study.cost.unit,
        title=f"{study.name}: {len(study.evaluations)} schedules evaluated on {len(study.identity['prompts'])} prompts",
    )
    return path


def _convergence(study: StoredStudy, out: Path) -> Path:
    from ecad_automl.plots import plot_convergence
    from studies.quality import Scale

    floor = min(study.evaluations, key=study.cost.of)
    scale = Scale(study.uncached.reward, floor.reward, study.cost.of(study.uncached))
    rewards = [r.reward for r in study.evaluations]
    costs = [study.cost.of(r) for r in study.evaluations]
    curve = np.array([[scale.hypervolume(rewards[:n], costs[:n]) for n in range(1, len(rewards) + 1)]])
    path = out / f"{study.name}-hypervolume.png"
    plot_convergence(path, {"this study": curve}, title=f"{study.name}: hypervolume against evaluations")
    return path


def _point(study: StoredStudy, record: EvaluationRecord | BaselineRecord, label: str = "") -> Point:
    return Point(study.cost.of(record), record.reward, 1.96 * (record.reward_drop_se or 0.0), label)
