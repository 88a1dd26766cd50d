"""How a study's schedules leave it: commands to copy, and Python that applies an exported file."""

from __future__ import annotations

import shlex

from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata
from ecad_automl.sharing.snippet import apply_snippet, literal
from ecad_automl.views.run import RunView
from ecad_automl.views.study import StudyView, file_name_of

#: Where the commands put files.
FOLDER = "schedules"
#: Stands for the file of a schedule, of which a page writes a literal when the schedule is chosen.
_FILE = "{file}"


def command(study: StudyView, name: str, options: str = "") -> str:
    """A shell command on a study, in lines that fit beside other things."""
    where = f"--storage {shlex.quote(study.storage)} --study {shlex.quote(study.name)}"
    return " \\\n  ".join([f"ecad-automl {name}", where, *([options] if options else [])])


def export_command(study: StudyView, trial: object) -> str:
    """The command that exports the schedule of a trial."""
    return command(study, "export", f"--trial {trial} --out {FOLDER}")


def exported_file(study: StudyView, run: RunView) -> str:
    """The file that ``ecad-automl export`` makes of a run."""
    return f"{FOLDER}/{study.file_name(run)}.json"


def python_snippet(study: StudyView, file: str, steps: int) -> str:
    """Python that loads the study's pipeline and calls it as the study did, once, under a schedule of so many steps."""
    identity = study.identity
    metadata = ScheduleMetadata(
        model=identity["model"],
        revision=identity["revision"],
        dtype=identity["dtype"],
        call={name: value for name, value in study.call.items() if name != "num_inference_steps"},
    )
    any_schedule = Schedule.all_compute(study.layout, steps)
    return apply_snippet(ScheduleFile(any_schedule, metadata), file, study.sample_prompt).rstrip()


def usage_patterns(study: StudyView) -> dict[str, str]:
    """How any schedule leaves a page, whose script fills in texts in braces, and speedups with two digits.

    Returns:
        ``export``: the command that writes the schedule; ``file``: the one it writes; ``snippet``: Python that applies
        it; ``images``: the command that makes a report with images.
    """
    steps = "num_inference_steps="
    snippet = python_snippet(study, _FILE, study.steps).replace(f"{steps}{study.steps}", f"{steps}{{steps}}")
    return {
        "export": export_command(study, "{trial}"),
        "file": f"{FOLDER}/{file_name_of(study.name)}-{{speedup}}x-trial{{trial}}.json",
        "snippet": snippet.replace(literal(_FILE), _FILE),
        "images": command(study, "report", "--images 4"),
    }
