"""Running a pipeline under a caching schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, SupportsIndex, get_args

import torch
from torch import nn

from ecad_automl.errors import OptionError, ScheduleError, UnsupportedModelError
from ecad_automl.runtime.blocks import blocks_of, parts_of, position_modules, slots_of, text_modules
from ecad_automl.runtime.cache import OutputCache
from ecad_automl.runtime.fitted import FittedSteps, visited_steps
from ecad_automl.runtime.given import Given, schedule_of
from ecad_automl.runtime.guided import check_guidance
from ecad_automl.runtime.hooks import VisitModule, refuse_copy
from ecad_automl.runtime.instrument import Instrument, transformers_of
from ecad_automl.runtime.plan import Plan
from ecad_automl.runtime.positions import Positions
from ecad_automl.runtime.prefix_run import PrefixRun
from ecad_automl.runtime.prefixes import Prefixes
from ecad_automl.runtime.program import Functions
from ecad_automl.runtime.scheduled import ScheduledRun
from ecad_automl.runtime.step_counts import steps_to_ask_for, strength_arguments
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.tail import last_steps

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

#: The modes of ``torch.compile``; the last two replay CUDA graphs on CUDA.
CompileMode = Literal["default", "reduce-overhead", "max-autotune"]

_GRAPHED = ("reduce-overhead", "max-autotune")

_SMALLEST = 2  # bytes; narrower types need scales


class ScheduleHandle:
    """A schedule in force on a pipeline; also a context manager that removes it at the end.

    Args:
        pipe: the pipeline.
        schedule: the first schedule, see :meth:`switch`.
        functions: how blocks are run.
        cache: where outputs are kept.
        keep_text: whether work on the text is done once in a run.
        prefixes: where runs find what others that begin alike have made; None for nowhere.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        schedule: Given,
        functions: Functions,
        cache: OutputCache,
        *,
        keep_text: bool,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._pipe, self._functions, self._keep_text = pipe, functions, keep_text
        self._run = ScheduledRun(functions, cache, shares=prefixes is not None)
        self._prefix_run = None if prefixes is None else PrefixRun(self._run, functions, prefixes)
        self._instrument: Instrument | None = None
        self._stepping = ExitStack()  # of the scheduler, where what it is given was fitted
        self._schedule: Schedule
        self._told: dict[str, Any] = {}  # by the schedule's file
        self._left_out = 0  # steps of the schedule, by the plan that is in force
        self.switch(schedule)

    def switch(self, schedule: Given) -> ScheduleHandle:
        """Have another schedule in force from the next run on, also after the handle was removed.

        All options stay, and what was recorded or compiled of blocks serves the other schedule too.

        Args:
            schedule: of any number of steps, given as to :func:`apply_schedule`.

        Returns:
            The handle: ``with handle.switch(schedule): ...`` removes it at the end.

        Raises:
            UnsupportedModelError: the handle was removed, and the transformer cannot be run under a schedule any more.
            ScheduleError: the schedule is for another transformer. The last one stays in force.
            OptionError: what is given is no schedule, and has none.
            FileError: its file cannot be read.
            HubError: it cannot be had from the hub.
            CacheStateError: the handle was removed, and the transformer is under another schedule or cache now.
        """
        installed = self._instrument
        transformers = transformers_of(self._pipe) if installed is None else installed.transformers
        layout = Layout(type(transformers[0]).__name__, slots_of(transformers[0]))
        schedule, told = schedule_of(schedule, layout)
        difference = layout.difference(schedule.layout)
        if difference is not None:
            raise ScheduleError(f"The schedule does not fit this pipeline: {difference}.")
        if not schedule.guidance.is_full:
            check_guidance(self._pipe)
        if installed is not None and self._stands_in(schedule) != self._stands_in(self._schedule):
            self.remove()
            installed = None
        self._functions.for_parts(parts_of(transformers))
        self._take(schedule, transformers)
        if installed is None:
            try:
                self._instrument = self._install(schedule, transformers)
            except BaseException:
                self._stepping.close()
                raise
        else:
            installed.expect(schedule.steps)
        self._schedule = schedule
        self._told = told
        return self

    def _install(self, schedule: Schedule, transformers: Sequence[nn.Module]) -> Instrument:
        run = self._run
        placed = [found for each in transformers for found in position_modules(each).values()]
        run.positions = Positions([names for _, names in placed])
        # First, since they are known by their numbers among all.
        others: list[tuple[nn.Module, VisitModule]] = [(module, run.positions.visit) for module, _ in placed]
        if self._keep_text:
            others += [(module, run.visit_text) for each in transformers for module in text_modules(each).values()]
        visitor = self._prefix_run or run
        if self._stands_in(schedule):
            others += [(transformer, visitor.forward) for transformer in transformers]
        return Instrument(
            self._pipe, visitor, schedule.steps, "The schedule", others, run.positions.begin, self._left_out_are
        )

    def _take(self, schedule: Schedule, transformers: Sequence[nn.Module], left_out: int = 0) -> None:
        """Run the last steps of a schedule from the next one on, without the first ones."""
        plan = Plan(last_steps(schedule, schedule.steps - left_out), blocks_of(transformers[0]))
        self._run.take(plan, transformers)
        self._stepping.close()
        self._run.fitted = None if schedule.fitted is None or left_out else FittedSteps(schedule)
        if self._run.fitted is not None:
            self._stepping.enter_context(visited_steps(self._pipe.scheduler, self._run.fitted.visit))
        if self._prefix_run is not None:
            self._prefix_run.take(plan, transformers)
        self._left_out = left_out

    def _left_out_are(self, left_out: int) -> None:
        """A run begins, of the last steps alone where it leaves out some."""
        if left_out != self._left_out:
            self._take(self._schedule, transformers_of(self._pipe), left_out)

    def _stands_in(self, schedule: Schedule) -> bool:
        """Whether there are transformer calls whose forward is not run, or not by itself."""
        reuses = self._functions.fuses and not schedule.effective.all()
        return self._prefix_run is not None or reuses or bool(schedule.skip.any()) or not schedule.guidance.is_full

    @property
    def schedule(self) -> Schedule:
        """The schedule in force, or the last one that was."""
        return self._schedule

    @property
    def arguments(self) -> dict[str, Any]:
        """What to call the pipeline with beside the prompt: ``pipe(prompt, **handle.arguments)``.

        The ``num_inference_steps`` by which its scheduler runs as many steps as the schedule has, and the ``sigmas``,
        or of a run that begins with an image the ``strength``, that the schedule's file was measured with, if any.

        Raises:
            ScheduleError: the scheduler makes no such run.
        """
        steps, sigmas, strength = self._schedule.steps, self._told.get("sigmas"), self._told.get("strength")
        if strength is not None and strength < 1:
            return strength_arguments(steps, strength)
        given: dict[str, Any] = {"num_inference_steps": steps_to_ask_for(self._pipe.scheduler, steps)}
        return given if sigmas is None or len(sigmas) != steps else {**given, "sigmas": list(sigmas)}

    def remove(self) -> None:
        """Put the transformer back as it was; a second time does nothing."""
        self._stepping.close()
        if self._instrument is not None:
            self._instrument.remove()
            self._instrument = None

    def cache_bytes(self) -> int:
        """Bytes of cached outputs held right now, those of the text not counted."""
        return self._run.cache.nbytes

    @property
    def whole_blocks(self) -> dict[str, str]:
        """Blocks whose own forward has to be run, with their norms even where slots are reused, and why."""
        return dict(self._run.unrecorded)

    def __repr__(self) -> str:
        schedule, state = self._schedule, "removed" if self._instrument is None else "in force"
        return (
            f"ScheduleHandle({state} on {type(self._pipe).__name__}: {schedule.steps} steps, "
            f"{schedule.mac_speedup:.2f}x fewer MACs)"
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copy("The handle of a schedule")

    def __enter__(self) -> ScheduleHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def apply_schedule(
    pipe: DiffusionPipeline,
    schedule: Given,
    *,
    compile: bool | CompileMode | Mapping[str, Any] = False,  # noqa: A002 - as in torch and diffusers
    fuse: bool = True,
    keep_text: bool = True,
    cache_dtype: torch.dtype | None = None,
    cache_device: torch.device | str | None = None,
    prefixes: Prefixes | None = None,
) -> ScheduleHandle:
    """Have a pipeline run under a caching schedule, until the handle is removed.

    The pipeline is called as always, with as many denoising steps as the schedule has, which the handle tells:
    ``with apply_schedule(pipe, schedule) as run: pipe(prompt, **run.arguments)``. Outputs of the transformer's
    components that the schedule uses again are kept while a later step still reads them, each guidance branch for
    itself. In steps that it skips the transformer is not entered, and its output is made of kept ones. Only the
    pipeline's own transformer object is changed, not its class or weights. Where two transformers take the steps in
    turns, as in Wan 2.2, the schedule is of the steps of both, and what is kept of one stands for outputs of the other
    where it says so. A run that begins with an image and leaves out steps, as image-to-image and inpainting of a
    strength below 1, is made of the schedule's last steps, or of all where it has as many as are run.

    Args:
        pipe: a diffusers pipeline whose transformer is of a supported class.
        schedule: a schedule for that transformer; a point of a front, or a front, of which the recommended point is
            taken; the path of a schedule file or of a folder that holds one; or its name on the hub: ``owner/name``,
            ``owner/name@revision`` or ``owner/name/file.json``. Paths win. Or that of a ready one by rule, such as
            ``builtin:flux-dev/fora-3``, see ``ecad-automl gallery``.
        fuse: add outputs to the residual stream, and apply shifts and scales, by fused operations, from the second step
            on. These round once where the model's own code rounds twice, so a few last bits differ; of the layers that
            make shifts, scales and gates, compute only the rows that are read; and call no block in steps in which all
            are reused. With False there is no difference, at some loss of speed. What computes everything runs as if it
            were False.
        compile: have ``torch.compile`` compile the blocks, once for each combination of slots that are computed, stored
            and reused, in a mode of its own: ``"reduce-overhead"`` and ``"max-autotune"`` replay CUDA graphs on CUDA,
            from the third call of each combination on. A mapping gives it any of its arguments. The first run takes
            longer. It leaves nothing to ``fuse`` and ``keep_text``, which do not apply then. Not for transformers
            without an adapter.
        keep_text: do work on the text that is the same in every step, such as keys and values of cross-attention, only
            once in a run, and hold it to the end of the run. Nothing else changes by it.
        cache_dtype: keep cached outputs in that floating-point type, such as ``torch.bfloat16``; in their own if None.
        cache_device: keep cached outputs there, such as ``"cpu"``, to save memory of a GPU, which then waits for them.
        prefixes: where runs find the steps of others that began alike on the same inputs, as when many schedules are
            tried on the same prompts and noise: such a step is made once. Nothing else changes by it. Not with
            ``compile``.

    Returns:
        The handle; ``with apply_schedule(pipe, schedule): ...`` removes it at the end, and ``handle.switch(other)``
        puts another schedule in its place.

    Raises:
        UnsupportedModelError: the transformer cannot be run under a schedule, or not with its blocks compiled; or not
            under one that leaves out guidance branches.
        FileError, HubError: the schedule's file cannot be read or had.
        OptionError: there is no such mode of compiling, or prefixes are given beside one.
        ScheduleError: the schedule is for another transformer. At the first transformer call of a run also where the
            run has another number of steps.
        CacheStateError: the transformer is already under a schedule, or caches by diffusers' means. In a run also
            where its calls cannot be told apart, so that cached outputs would be mixed up.
    """
    if cache_dtype is not None and not (cache_dtype.is_floating_point and cache_dtype.itemsize >= _SMALLEST):
        raise OptionError(f"Cached outputs cannot be kept as {cache_dtype}; float16, bfloat16 and wider can.")
    if prefixes is not None and compile is not False:
        raise OptionError("Steps that are compiled cannot be shared; leave prefixes out.")
    cache = OutputCache(cache_dtype, None if cache_device is None else torch.device(cache_device))
    if compile is False:
        functions = Functions(fuse=fuse)
    else:
        _check_compilable(transformers_of(pipe)[0])
        options = _compile_options(compile)
        compiler = partial(torch.compile, **{"fullgraph": True, **options})
        functions = Functions(compiler=compiler, overwrites=_has_cuda_graphs(options))
    keep_text = keep_text and compile is False
    return ScheduleHandle(pipe, schedule, functions, cache, keep_text=keep_text, prefixes=prefixes)


def _compile_options(wanted: bool | str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Arguments of ``torch.compile``."""
    if isinstance(wanted, bool):
        return {}
    if not isinstance(wanted, str):
        return wanted
    if wanted not in get_args(CompileMode):
        raise OptionError(f"There is no compile={wanted!r}; take one of {', '.join(get_args(CompileMode))}.")
    return {"mode": wanted}


def _has_cuda_graphs(options: Mapping[str, Any]) -> bool:
    """Whether functions compiled with these options may be CUDA graphs."""
    chosen = options.get("options") or {}
    return options.get("mode") in _GRAPHED or bool(chosen.get("triton.cudagraphs"))


def _check_compilable(transformer: torch.nn.Module) -> None:
    """What would not be compiled is an error, since a user who asks for it would wait for nothing."""
    whole = next((block for block in blocks_of(transformer) if block.whole is not None), None)
    if whole is not None:
        raise UnsupportedModelError(
            f"compile=True is not for {type(transformer).__name__}: {whole.path} is run whole, since {whole.whole}. "
            "Leave it out."
        )
