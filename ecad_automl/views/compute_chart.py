"""Which parts of a transformer the schedules of a front compute, as a chart for plotly.js."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ecad_automl.schedules.layout import rows_at
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.views.charts import Chart
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

#: Labels below the columns.
_MARKS = 9


def compute_chart(study: StudyView, runs: Sequence[RunView]) -> Chart:
    """Which share of the MACs of the slots schedules compute, by step, depth and component; one column per schedule.

    What is computed at every step whatever the schedule is left out.

    Args:
        study: they are of.
        runs: at least one, the dearest first; their labels are different ones.
    """
    layout, schedules = study.layout, [study.schedule(run) for run in runs]
    stretched = ", runs of fewer steps stretched" if any(run.steps != study.steps for run in runs) else ""
    rows = {
        "step": [str(step) for step in range(study.steps)],
        "block": [str(block) for block in range(len(layout.blocks))],
        "component": list(layout.components),
    }
    labels = [f"{run.speedup:.2f}x, {run.label}" for run in runs]
    heights = np.array([len(names) for names in rows.values()]) + 1.0
    # Names of components must stay apart, however many steps and blocks there are.
    heights = np.maximum(heights, heights.sum() * np.array([0.2, 0.2, 0.05 * heights[2]]))
    ends = np.concatenate([[0.0], np.cumsum(heights / heights.sum())])
    marks = np.unique(np.linspace(0, len(runs) - 1, _MARKS).round().astype(int))
    data: list[dict[str, Any]] = []
    axes: dict[str, Any] = {
        "xaxis": {
            "title": "speedup",
            "type": "category",
            "tickvals": [labels[index] for index in marks],
            "ticktext": [f"{runs[index].speedup:.2f}x" for index in marks],
            "tickangle": 0,
            "anchor": "y3",
        }
    }
    parts = zip(rows.items(), _shares(schedules, study.steps), strict=True)
    for number, ((name, names), shares) in enumerate(parts, start=1):
        suffix = "" if number == 1 else str(number)
        data.append(
            {
                "type": "heatmap",
                "z": [[round(float(value), 2) for value in row] for row in shares.T],
                "x": labels,
                "y": names,
                "yaxis": f"y{suffix}",
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "@reused"], [1, "@blue"]],
                "showscale": number == 1,
                "colorbar": {"title": {"text": "computed"}, "tickformat": ".0%"},
                "hovertemplate": f"%{{x}}<br>{name} %{{y}}<br>%{{z:.0%}} of its MACs computed<extra></extra>",
            }
        )
        top, bottom = 1 - ends[number - 1], 1 - ends[number]
        domain = [float(bottom + (0.03 if number < len(rows) else 0.0)), float(top)]
        axes[f"yaxis{suffix}"] = {"autorange": "reversed", "type": "category", "domain": domain}
    axes["yaxis"]["title"], axes["yaxis2"]["title"] = f"step{stretched}", "block"
    axes["yaxis3"]["tickvals"] = rows["component"]
    told = f"Shares of MACs that {len(runs)} schedules compute, by step, block and component"
    return Chart("What the front computes, from the dearest schedule to the cheapest", told, data, axes)


def _shares(schedules: Sequence[Schedule], steps: int) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """``(n, steps)``, ``(n, blocks)`` and ``(n, components)`` shares in [0, 1] of the MACs of the slots.

    Runs of other numbers of steps are stretched to so many.
    """
    layout = schedules[0].layout
    macs = np.asarray(layout.slot_macs, dtype=np.float64)
    spent = np.stack([schedule.effective.mean(axis=0) for schedule in schedules]) * macs  # (n, slots), of a step
    by_step = np.stack([schedule.effective[rows_at(schedule.steps, steps)] @ macs for schedule in schedules])

    def grouped(index: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        member = np.eye(count)[index]  # (slots, count)
        whole = macs @ member
        # A group without MACs, whose share is no number, computes nothing.
        shares = np.zeros((len(spent), count))
        np.divide(spent @ member, whole, out=shares, where=whole > 0)
        return shares

    return [
        by_step / macs.sum(),
        grouped(layout.block_index, len(layout.blocks)),
        grouped(layout.component_index, len(layout.components)),
    ]
