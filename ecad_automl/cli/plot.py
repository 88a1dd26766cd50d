"""``ecad-automl plot``: pictures of a study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.console import Console

from ecad_automl.api.plot import draw_front
from ecad_automl.cli.confirmed import read_confirmation
from ecad_automl.cli.options import Out, Storage, Study
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.plots.front import Point
from studies.confirmation import Confirmation
from studies.verdicts import Verdict

__all__ = ["plot"]


def plot(storage: Storage = "sqlite:///ecad.db", study: Study = None, out: Out = Path("plots")) -> None:
    """Draw the front beside its baselines, hypervolume against evaluations and, if any, the confirmed front."""
    found = read_study(storage, study)
    confirmation = read_confirmation(storage, found.name)
    console = Console()
    picture = out / f"{found.name}-front.png"
    draw_front(found, picture)
    paths = [picture, _convergence(found, out)]
    if confirmation is not None and confirmation.verdicts.front:
        paths.append(_confirmed(found, confirmation, out))
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)


def _confirmed(study: StoredStudy, found: Confirmation, out: Path) -> Path:
    from ecad_automl.plots import plot_confirmation

    def points(verdicts: Iterable[Verdict], *, labels: bool = False) -> list[Point]:
        return [
            Point(v.run.cost, v.difference.mean, v.difference.half, v.run.label if labels else "") for v in verdicts
        ]

    verdicts = found.verdicts
    others = [verdict for verdict in verdicts.others if verdict.run.key != found.uncached]
    searched = [Point(v.run.cost, float(v.run.searched.mean())) for v in verdicts.front if v.run.searched is not None]
    path = out / f"{study.name}-confirmed.png"
    plot_confirmation(
        path,
        searched=searched,
        survivors=points(verdicts.survivors),
        beaten=points(verdict for verdict in verdicts.front if not verdict.survives),
        heuristics=points((v for v in others if not v.run.label.endswith(" steps")), labels=True),
        fewer_steps=points((v for v in others if v.run.label.endswith(" steps")), labels=True),
        full_cost=study.cost.of(study.uncached),
        reward_name=str(study.identity["reward"]),
        cost_name=study.cost.unit,
        title=f"{study.name}: {len(verdicts.survivors)} of {len(verdicts.front)} schedules survive on "
        f"{verdicts.prompts} unseen prompts",
    )
    return path


def _convergence(study: StoredStudy, out: Path) -> Path:
    from ecad_automl.plots import plot_convergence
    from studies.quality import Scale, worst_of_interest

    cheapest = min(study.evaluations, key=study.cost.of)
    shorter = [record.reward for record in study.baselines.values()]
    floor = worst_of_interest(study.uncached.reward, shorter, cheapest.reward)
    scale = Scale(study.uncached.reward, floor, study.cost.of(study.uncached))
    rewards = [r.reward for r in study.evaluations]
    costs = [study.cost.of(r) for r in study.evaluations]
    curve = np.array([[scale.hypervolume(rewards[:n], costs[:n]) for n in range(1, len(rewards) + 1)]])
    path = out / f"{study.name}-hypervolume.png"
    plot_convergence(path, {"this study": curve}, title=f"{study.name}: hypervolume against evaluations")
    return path
