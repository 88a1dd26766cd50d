"""Parts that several documents of ``--json`` share; docs/command-line.md shows every document with all of its keys.

Keys are never taken away or renamed within a version of a schema; new ones may come. What is not known is null.
"""

from __future__ import annotations

from typing import Any

from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

_RUN = (
    *("trial", "origin", "speedup", "mac_speedup", "gmacs", "latency_ms"),
    *("reward", "difference", "difference_interval", "steps", "genome"),
)


def about_study(study: StudyView) -> dict[str, Any]:
    """Which study a document is of, and in which terms its figures are."""
    return {
        "study": study.name,
        "storage": study.storage,
        "reward": study.reward_name,
        "cost": study.cost_name,
        "cost_unit": study.cost_unit,
    }


def searched_figures(run: RunView) -> dict[str, Any]:
    """A run as the search scored it."""
    return {name: getattr(run, name) for name in _RUN}
