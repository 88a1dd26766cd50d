"""Which denoising step and which guidance branch a transformer call belongs to.

Nothing here reads a tensor, which would stall a GPU: the scheduler's step index is a Python number, and a new run is
told by the scheduler having a new ``timesteps`` object, which every ``set_timesteps`` makes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ecad_automl.errors import CacheStateError, ScheduleError
from ecad_automl.runtime.step_counts import forwards_of, steps_to_ask_for

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, SchedulerMixin

#: A guidance branch: the name that the pipeline gives it (None where it gives none) and how many calls of that name
#: came before in the same step.
ContextKey = tuple[str | None, int]

#: Shapes of the tensors passed to the transformer, by position or name of the argument: lists have several.
Shapes = Mapping[int | str, tuple[tuple[int, ...], ...]]

# No pipeline has more guidance branches, nor two of one name. Beyond it, some other pipeline is using the transformer.
_MAX_CALLS_PER_STEP = 3


class OtherThreadError(CacheStateError):
    """A call comes from another thread than the run that is going on, which it does not disturb."""


@dataclass(frozen=True)
class Call:
    """One transformer call.

    Args:
        step: denoising step, from 0, of those that are run.
        context: the guidance branch.
        new_run: whether this is the first call of a run of the pipeline.
        left_out: steps that the run leaves out at its beginning, as image-to-image does, of those that are known here.
        transformer: which one, where two take the steps in turns.
        times: the scheduler's timesteps of those that are run, if it has any.
    """

    step: int
    context: ContextKey
    new_run: bool
    left_out: int = 0
    transformer: int = 0
    times: torch.Tensor | None = field(default=None, compare=False)


@dataclass
class _Context:
    step: int
    shapes: Shapes


class StepTracker:
    """Follows the runs of one pipeline, from transformer call to transformer call.

    Args:
        pipe: the pipeline; its scheduler is looked up at each call, so it may be replaced between runs.
        steps: number of denoising steps that each run must have, left out or not; or of those that it does not leave
            out.
        needed_by: what needs that number, for the error message.
        late: whether a run may leave out steps at its beginning, as its scheduler or the pipeline tells.
    """

    def __init__(self, pipe: DiffusionPipeline, steps: int, needed_by: str, *, late: bool = False) -> None:
        self.steps = steps
        self._late = late
        self._pipe = pipe
        self._needed_by = needed_by
        self._last: Any = None  # timesteps of the last run, which only a new run replaces
        self.forget()

    def forget(self) -> None:
        """Take the next call for the first one of a run."""
        # The tensor itself is held, not its id, which could come back for another tensor.
        self._timesteps: Any = None
        self._times: torch.Tensor | None = None
        self._contexts: dict[ContextKey, _Context] = {}
        self._calls: Counter[str | None] = Counter()
        self._step = 0
        self._first = self._left_out = self._end = 0
        self._thread = 0

    def locate(self, name: str | None, shapes: Shapes, transformer: int = 0) -> Call:
        """Say what the transformer call that is about to be made is.

        Args:
            name: the name set by the transformer's ``cache_context``, if any.
            shapes: shapes of the call's tensors, which must not change within a run.
            transformer: which one is called.

        Raises:
            ScheduleError: the run has another number of steps.
            OtherThreadError: another thread is in the middle of a run.
            CacheStateError: the call does not continue the run it belongs to.
        """
        scheduler = self._pipe.scheduler
        indexed = hasattr(scheduler, "step_index")
        begin = self._begin(scheduler)
        # Not known before the scheduler's own first step, which comes after the first call.
        step = (begin if scheduler.step_index is None else scheduler.step_index) if indexed else 0
        new_run = scheduler.timesteps is not self._timesteps or (indexed and step == begin < self._step)
        if new_run:
            if not indexed and scheduler.timesteps is self._last:
                raise CacheStateError(
                    f"A new run has begun without set_timesteps of the {type(scheduler).__name__} of the pipeline that "
                    "the schedule was applied to: another pipeline shares the transformer."
                )
            self._start(scheduler)
        elif self._thread != threading.get_ident():
            raise OtherThreadError(
                "Two threads run the same transformer under a schedule; give each thread its own pipeline."
            )
        context = (name, self._count(name, step)) if indexed else (name, 0)
        if not indexed:
            step = self._contexts[context].step + 1 if context in self._contexts else self._first
        self._advance(scheduler, context, step, shapes)
        return Call(step - self._first, context, new_run, self._left_out, transformer, self._times)

    def _start(self, scheduler: SchedulerMixin) -> None:
        self.forget()
        forwards, begin = forwards_of(scheduler), self._begin(scheduler)
        made_for_it = forwards - begin == self.steps  # as many steps as are run, wherever they begin
        if forwards != self.steps and not made_for_it:
            try:
                how = (
                    f"call the pipeline with num_inference_steps={steps_to_ask_for(scheduler, self.steps)}, as "
                    "**run.arguments gives it under a schedule, or move the schedule with schedule.resample(steps=...)."
                )
            except ScheduleError as error:
                how = str(error)
            raise ScheduleError(
                f"{self._needed_by} has {self.steps} steps, but {type(scheduler).__name__} is set to {forwards}: {how}"
            )
        if begin and not made_for_it and not self._late:
            raise self._begins_late(begin)
        self._first, self._end = begin, forwards
        self._left_out = 0 if made_for_it else begin
        self._timesteps = self._last = scheduler.timesteps
        self._times = scheduler.timesteps[begin:] if isinstance(scheduler.timesteps, torch.Tensor) else None
        self._thread = threading.get_ident()

    def _begin(self, scheduler: SchedulerMixin) -> int:
        """The step at which a run begins: as the scheduler is told, or by the timesteps that the pipeline goes through.

        The second is for pipelines that leave out timesteps and do not tell a scheduler that finds its place itself, in
        its own first step. A number that is wrong is an error in the second step.
        """
        told: int | None = getattr(scheduler, "begin_index", None)
        if told is not None or not hasattr(scheduler, "step_index"):
            return told or 0
        forwards, count = forwards_of(scheduler), getattr(self._pipe, "_num_timesteps", None)
        return forwards - count if isinstance(count, int) and 0 < count < forwards else 0

    def _begins_late(self, begin: int) -> CacheStateError:
        why = "and its scheduler was not told" if self._late else "and a whole run is needed"
        return CacheStateError(
            f"The run begins at step {begin} of {self.steps}, as image-to-image does, {why}; {self._needed_by.lower()} "
            "needs a run that begins at step 0 here."
        )

    def _count(self, name: str | None, step: int) -> int:
        """How many calls of this name were made before in this step."""
        if step != self._step:
            self._calls.clear()
            self._step = step
        before = self._calls[name]
        self._calls[name] += 1
        if before >= (_MAX_CALLS_PER_STEP if name is None else 1):
            raise CacheStateError(
                f"The transformer was called {before + 1} times while the scheduler stands at step {step}; run the "
                "pipeline that the schedule was applied to, not another one that shares its transformer."
            )
        return before

    def _advance(self, scheduler: SchedulerMixin, context: ContextKey, step: int, shapes: Shapes) -> None:
        if step >= self._end:
            raise CacheStateError(
                f"The transformer was called for step {step + 1} of a run of {self._end}: either another pipeline "
                "shares the transformer, or set_timesteps was not called for a new run, or "
                f"{type(scheduler).__name__}, which tells no step index, is used with several unnamed calls a step."
            )
        known = self._contexts.get(context)
        if known is None and step == self._first:
            self._contexts[context] = _Context(step, shapes)
            return
        if known is None or known.step != step - 1:
            if known is not None and all(other.step == 0 for other in self._contexts.values()):
                # A pipeline leaves out timesteps and tells nobody; the scheduler finds its place itself, but only in
                # its own step, which is after the first call.
                raise self._begins_late(step - 1)
            last = "none" if known is None else f"one of step {known.step}"
            raise CacheStateError(
                f"The transformer is called for step {step}, but the guidance branch {_describe(context)} had {last} "
                f"before; each branch must be called once in every step, from step {self._first} on."
            )
        if known.shapes != shapes:
            changed = next(key for key in {**known.shapes, **shapes} if known.shapes.get(key) != shapes.get(key))
            raise CacheStateError(
                f"The transformer's input {changed!r} changed its shape from {_text(known.shapes.get(changed))} to "
                f"{_text(shapes.get(changed))} at step {step}; batch and size must stay the same during a run."
            )
        known.step = step


def _text(shapes: tuple[tuple[int, ...], ...] | None) -> str:
    return ", ".join(map(str, shapes)) if shapes else "none"


def _describe(context: ContextKey) -> str:
    name, number = context
    if name is None:
        return f"number {number + 1}"
    return repr(name) if number == 0 else f"{name!r} number {number + 1}"
