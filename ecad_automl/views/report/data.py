"""What a report tells: a study, and images; and which schedules stand for a front where not all can be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        same_steps: the study with no runs but those of its own number of steps; None where it has no others.
        versions: package to version.
        made: when, for people.
    """

    study: StudyView
    images: Images | None = field(default=None, repr=False)
    same_steps: StudyView | None = field(default=None, repr=False)
    versions: Mapping[str, str] = field(default_factory=software_versions)
    made: str = field(default_factory=_now)

    @property
    def schedules(self) -> tuple[RunView, ...]:
        """Every evaluated one: first the front, the cheapest first, then the others, oldest first."""
        return (*self.study.front, *(run for run in self.study.runs if run.kind is not Kind.FRONT))


def spread_choice(study: StudyView, count: int) -> list[RunView]:
    """Schedules of the front, evenly over the logarithm of the speedup, the recommended one among them.

    Those that save nothing are left out.

    Args:
        study: with a front.
        count: how many, from 1; fewer where the front has fewer.

    Returns:
        The cheapest first.
    """
    saving = [run for run in study.front if run.speedup > 1]
    if len(saving) <= count:
        return saving
    places = [math.log(run.speedup) for run in saving]
    wanted = [places[0] + (places[-1] - places[0]) * rank / max(count - 1, 1) for rank in range(count)]
    chosen = _nearest_each(places, wanted)
    found = study.recommended
    usual = saving.index(found.run) if found is not None and found.run in saving else chosen[0]
    if usual not in chosen:
        nearest = min(chosen, key=lambda index: abs(places[index] - places[usual]))
        chosen = sorted({*chosen, usual} - {nearest})
    return [saving[index] for index in chosen]


def _nearest_each(places: Sequence[float], wanted: Sequence[float]) -> list[int]:
    """For each wanted place the nearest index that is still free, in order."""
    chosen: list[int] = []
    for place in wanted:
        free = (index for index in range(len(places)) if index not in chosen)
        chosen.append(min(free, key=lambda index: abs(places[index] - place)))
    return sorted(chosen)
