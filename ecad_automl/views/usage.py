"""How a study's schedules leave it: commands to copy, and Python that applies an exported file."""

from __future__ import annotations

import shlex

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata
from ecad_automl.sharing.snippet import PROMPT, apply_snippet
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView

#: Where the commands put files.
FOLDER = "schedules"


def command(study: StudyView, name: str, options: str = "") -> str:
    """A shell command on a study, in lines that fit beside other things."""
    where = f"--storage {shlex.quote(study.storage)} --study {shlex.quote(study.name)}"
    return " \\\n  ".join([f"ecad-automl {name}", where, *([options] if options else [])])


def exported_file(study: StudyView, run: RunView) -> str:
    """The file that ``ecad-automl export`` makes of a run."""
    return f"{FOLDER}/{study.file_name(run)}.json"


def python_snippet(study: StudyView, file: str, prompt: str = PROMPT) -> str:
    """Python that loads the study's pipeline and calls it as the study did, under a schedule.

    Args:
        study: the schedule is of.
        file: the schedule's.
        prompt: of the one image.
    """
    identity = study.identity
    metadata = ScheduleMetadata(
        model=identity["model"],
        revision=identity["revision"],
        dtype=identity["dtype"],
        call={name: value for name, value in study.call.items() if name != "num_inference_steps"},
    )
    any_schedule = Schedule.all_compute(study.layout, study.steps)
    return apply_snippet(ScheduleFile(any_schedule, metadata), file, prompt).rstrip()
