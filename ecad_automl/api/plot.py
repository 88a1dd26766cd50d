"""The front of a stored study as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecad_automl.api.stored import StoredStudy
from ecad_automl.views.plots.front import Point
from storage import BaselineRecord, EvaluationRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_front"]


def draw_front(study: StoredStudy, path: Path | None = None) -> Figure:
    """Draw the front beside all else that the study evaluated.

    Args:
        study: what to draw.
        path: the PNG file to write, if any.

    Raises:
        EcadError: the file cannot be written.
    """
    from ecad_automl.views.plots import plot_front

    front = study.front()
    chosen = {record.genome for record in front}
    rest = [record for record in study.evaluations if record.genome not in chosen]
    heuristics = [r for r in rest if r.origin != "bred" and not r.origin.startswith(("drift", "init:"))]
    others = [r for r in rest if r not in heuristics]
    return plot_front(
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


def _point(study: StoredStudy, record: EvaluationRecord | BaselineRecord, label: str = "") -> Point:
    return Point(study.cost.of(record), record.reward, 1.96 * (record.reward_drop_se or 0.0), label)
