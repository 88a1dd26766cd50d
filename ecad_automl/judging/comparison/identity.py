"""What the images of a comparison depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import ScheduleError
from ecad_automl.judging.comparison.runner import Sample
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import relevant_scheduler_config

if TYPE_CHECKING:
    from ecad_automl.models import LoadedModel


def comparison_identity(model: LoadedModel, sample: Sample, prompts: str) -> dict[str, Any]:
    """All that images depend on, schedules aside, as JSON values, and the name of the prompts, for people."""
    scheduler = model.pipe.scheduler
    return {
        "model": model.name,
        "revision": model.revision,
        "pipeline": type(model.pipe).__name__,
        "dtype": str(model.pipe.transformer.dtype).removeprefix("torch."),
        "scheduler": type(scheduler).__name__,
        "scheduler_config": relevant_scheduler_config(scheduler.config),
        "generation": model.settings.to_dict(),
        "prompt_set": prompts,
        "prompts": list(sample.prompts),
        "seeds": list(sample.seeds),
    }


def check_fits(schedules: Mapping[str, Schedule], pipe: Any) -> None:
    """Whether all schedules are for the transformer of a pipeline.

    Raises:
        ScheduleError: one is for another.
    """
    from ecad_automl.runtime import slots_of

    layout = Layout(type(pipe.transformer).__name__, slots_of(pipe.transformer))
    for name, schedule in schedules.items():
        if difference := layout.difference(schedule.layout):
            raise ScheduleError(f"The schedule {name!r} does not fit the model: {difference}.")
