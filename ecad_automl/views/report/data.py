"""What a report tells: a study, how its schedules leave the page, and images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ecad_automl.schedules.schedule_file import software_versions
from ecad_automl.sharing.snippet import literal
from ecad_automl.views.run import Kind, RunView
from ecad_automl.views.study import StudyView, file_name_of
from ecad_automl.views.usage import FOLDER, command, exported_file, python_snippet

Pictures = NDArray[np.float32]

#: Stands for the file of a schedule.
_FILE = "{file}"


@dataclass(frozen=True)
class Usage:
    """How a schedule leaves the report; ``{trial}`` stands for its number.

    Args:
        export: shell command that writes the schedule file of ``{trial}``.
        file: the file it writes; ``{speedup}`` stands for the speedup with two digits.
        snippet: Python that applies ``{file}``, which stands for the file as a string literal.
        images: shell command that makes a report with images.
    """

    export: str
    file: str
    snippet: str
    images: str

    @classmethod
    def of(cls, study: StudyView) -> Usage:
        """The commands for a study."""
        return cls(
            export=command(study, "export", f"--trial {{trial}} --out {FOLDER}"),
            file=f"{FOLDER}/{file_name_of(study.name)}-{{speedup}}x-trial{{trial}}.json",
            # A literal when the schedule is chosen.
            snippet=python_snippet(study, _FILE).replace(literal(_FILE), _FILE),
            images=command(study, "report", "--images 4"),
        )


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

    @property
    def usage(self) -> Usage:
        """How schedules leave the report."""
        return Usage.of(self.study)

    def export_command(self, run: RunView) -> str:
        """The shell command that exports a schedule with a trial."""
        return self.usage.export.replace("{trial}", str(run.trial))

    def snippet(self, run: RunView) -> str:
        """Python that applies the exported file of a schedule."""
        return self.usage.snippet.replace(_FILE, json.dumps(exported_file(self.study, run), ensure_ascii=False))
