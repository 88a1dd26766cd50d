"""Running a pipeline under a caching schedule."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ecad_automl.errors import ScheduleError
from ecad_automl.layout import Layout
from ecad_automl.runtime.blocks import blocks_of
from ecad_automl.runtime.families import slots_of
from ecad_automl.runtime.instrument import Instrument, transformer_of
from ecad_automl.runtime.program import Functions
from ecad_automl.runtime.scheduled import ScheduledRun
from ecad_automl.schedule import Schedule
from ecad_automl.schedule_file import load_schedule

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["ScheduleHandle", "apply_schedule"]


class ScheduleHandle:
    """A schedule in force on a pipeline; also a context manager that removes it at the end.

    Args:
        pipe: the pipeline.
        schedule: a schedule that fits the pipeline's transformer.
        functions: how blocks are run.
    """

    def __init__(self, pipe: DiffusionPipeline, schedule: Schedule, functions: Functions) -> None:
        self._schedule = schedule
        self._visitor = ScheduledRun(schedule, blocks_of(transformer_of(pipe)), functions)
        self._instrument = Instrument(pipe, self._visitor, schedule.steps, "The schedule")

    @property
    def schedule(self) -> Schedule:
        """The schedule in force."""
        return self._schedule

    def remove(self) -> None:
        """Put the transformer back as it was; a second time does nothing."""
        self._instrument.remove()

    def cache_bytes(self) -> int:
        """Bytes of cached outputs held right now."""
        return self._visitor.cache.nbytes

    @property
    def whole_blocks(self) -> dict[str, str]:
        """Blocks whose own forward has to be run, with their norms even where slots are reused, and why."""
        return dict(self._visitor.unrecorded)

    def __enter__(self) -> ScheduleHandle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def apply_schedule(pipe: DiffusionPipeline, schedule: Schedule | str | Path, *, fuse: bool = True) -> ScheduleHandle:
    """Have a pipeline run under a caching schedule, until the handle is removed.

    The pipeline is called as always, with as many denoising steps as the schedule has. Outputs of the transformer's
    components that the schedule reuses are kept while a later step still reads them, each guidance branch for itself.
    Only the pipeline's own transformer object is changed, not its class or weights.

    Args:
        pipe: a diffusers pipeline with a PixArt, FLUX or Stable Diffusion 3 transformer.
        schedule: a schedule for that transformer, or the path of a schedule file that holds one.
        fuse: add cached outputs to the residual stream by fused operations. These round once where the model's own
            code rounds twice, so a few last bits differ; with False there is no difference, at some loss of speed.

    Returns:
        The handle; ``with apply_schedule(pipe, schedule): ...`` removes it at the end.

    Raises:
        UnsupportedModelError: the transformer cannot be run under a schedule.
        ScheduleError: the schedule is for another transformer, or its file cannot be read. At the first transformer
            call of a run also where the run has another number of steps.
        CacheStateError: the transformer is already under a schedule, or caches by diffusers' means. In a run also
            where its calls cannot be told apart, so that cached outputs would be mixed up.
    """
    if not isinstance(schedule, Schedule):
        schedule = load_schedule(schedule).schedule
    transformer = transformer_of(pipe)
    difference = Layout(type(transformer).__name__, slots_of(transformer)).difference(schedule.layout)
    if difference is not None:
        raise ScheduleError(f"The schedule does not fit this pipeline: {difference}.")
    return ScheduleHandle(pipe, schedule, Functions(fuse=fuse))
