"""What a report tells: a study, and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule_file import software_versions
from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import StudyView

Pictures = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Images:
    """Images of some prompts, uncached and under some schedules.

    Args:
        prompts: ``n`` prompts.
        source: where the prompts are from, for people.
        uncached: ``(n, h, w, 3)`` float in [0, 1].
        schedules: by genome, the same from the same noise.
    """

    prompts: tuple[str, ...]
    source: str
    uncached: Pictures
    schedules: Mapping[str, Pictures]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True)
class Report:
    """All that a report tells.

    Args:
        study: what it is of.
        images: None where none were asked for.
        versions: package to version.
        made: when, for people.
    """

    study: StudyView
    images: Images | None = field(default=None, repr=False)
    versions: Mapping[str, str] = field(default_factory=software_versions)
    made: str = field(default_factory=_now)

    @property
    def schedules(self) -> tuple[RunView, ...]:
        """Every evaluated one: first the front, the cheapest first, then the others, oldest first."""
        return (*self.study.front, *(run for run in self.study.runs if run.kind is not Kind.FRONT))
