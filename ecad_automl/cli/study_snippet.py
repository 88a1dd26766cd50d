"""The Python that applies a schedule of a study, as notes and reports show it; imports no torch."""

from __future__ import annotations

from ecad_automl.cli.studies import StoredStudy
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import ScheduleFile, ScheduleMetadata
from ecad_automl.sharing.snippet import PROMPT, apply_snippet

__all__ = ["study_snippet"]


def study_snippet(study: StoredStudy, file: str, prompt: str = PROMPT) -> str:
    """Python that loads the study's pipeline and calls it as the study did, under a schedule.

    Args:
        study: the schedule is of.
        file: the schedule's.
        prompt: of the one image.
    """
    identity, settings = study.identity, GenerationSettings(**study.identity["generation"])
    metadata = ScheduleMetadata(
        model=identity["model"],
        revision=identity["revision"],
        dtype=identity["dtype"],
        call={name: value for name, value in settings.call_arguments().items() if name != "num_inference_steps"},
    )
    any_schedule = Schedule.all_compute(study.layout, study.steps)
    return apply_snippet(ScheduleFile(any_schedule, metadata), file, prompt).rstrip()
