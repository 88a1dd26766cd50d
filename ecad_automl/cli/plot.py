"""``ecad-automl plot``: pictures of a study."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ecad_automl.api.export import file_name_of
from ecad_automl.api.plot import draw_front
from ecad_automl.cli.confirmed import read_confirmation
from ecad_automl.cli.documents import PlotDocument
from ecad_automl.cli.options import Json, Out, Storage, Study
from ecad_automl.cli.output import messages, print_json, print_paths, step
from ecad_automl.cli.report_data import convergence
from ecad_automl.cli.studies import StoredStudy, read_study
from ecad_automl.views.plots.front import Point
from storage import shown
from studies.confirmation import Confirmation, Verdict

__all__ = ["plot"]


def plot(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    out: Out = Path("plots"),
    json_output: Json = False,
) -> None:
    """Draw the front beside its baselines, hypervolume against evaluations and, if any, the confirmed front."""
    found = read_study(storage, study)
    confirmation = read_confirmation(storage, found.name)
    picture = out / f"{file_name_of(found.name)}-front.png"
    confirmed = None
    with step(messages(), "Drawing"):
        draw_front(found, picture)
        hypervolume = _convergence(found, out)
        if confirmation is not None and confirmation.verdicts.front:
            confirmed = _confirmed(found, confirmation, out)
    if json_output:
        print_json(
            PlotDocument(
                study=found.name, storage=shown(storage), front=picture, hypervolume=hypervolume, confirmed=confirmed
            )
        )
    else:
        print_paths(*filter(None, (picture, hypervolume, confirmed)))


def _confirmed(study: StoredStudy, found: Confirmation, out: Path) -> Path:
    from ecad_automl.views.plots import plot_confirmation

    def points(verdicts: Iterable[Verdict], *, labels: bool = False) -> list[Point]:
        return [
            Point(v.run.cost, v.difference.mean, v.difference.half, v.run.label if labels else "") for v in verdicts
        ]

    verdicts = found.verdicts
    others = [verdict for verdict in verdicts.others if verdict.run.key != found.uncached]
    searched = [Point(v.run.cost, float(v.run.searched.mean())) for v in verdicts.front if v.run.searched is not None]
    path = out / f"{file_name_of(study.name)}-confirmed.png"
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
    from ecad_automl.views.plots import plot_convergence

    curve = np.array([convergence(study)])
    path = out / f"{file_name_of(study.name)}-hypervolume.png"
    plot_convergence(path, {"this study": curve}, title=f"{study.name}: hypervolume against evaluations")
    return path
