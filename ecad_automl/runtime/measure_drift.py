"""Measuring drift: one uncached run of a pipeline with all slots watched."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ecad_automl.errors import CacheStateError, EvaluationError, ScheduleError
from ecad_automl.patching import replaced
from ecad_automl.runtime.blocks import Block, Forward, SlotCall, slots_of, visited_slots
from ecad_automl.runtime.cache import Output, tensors_in
from ecad_automl.runtime.families import family_of
from ecad_automl.runtime.guided import Halves, is_second
from ecad_automl.runtime.instrument import Instrument, transformers_of
from ecad_automl.runtime.scheduler_response import scheduler_response
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.schedules.drift import Drift

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def measure_drift(
    pipe: DiffusionPipeline, run: Callable[[], object], *, steps: int, probes: int = 4096, seed: int = 0
) -> Drift:
    """Measure the drift of every slot, and of the whole, in uncached runs of a pipeline, whose images do not change.

    Of each output only the same few elements are kept over a run, chosen at random. A run so needs
    ``4 * slots * steps * probes`` bytes more, for each guidance branch that has its own transformer calls.

    Args:
        pipe: a diffusers pipeline with a PixArt, FLUX or Stable Diffusion 3 transformer and no schedule in force.
        run: calls the pipeline, once or several times; all calls are averaged over, each element alike.
        steps: number of denoising steps of each call.
        probes: how many elements of each output to keep; all, where it has no more.
        seed: of the choice of elements.

    Returns:
        The drift, on the slots of the pipeline's transformer; where two take the steps in turns, over those of both.

    Raises:
        UnsupportedModelError: the transformer is not supported.
        ScheduleError: a call has another number of steps, or ``steps`` or ``probes`` is below 1.
        CacheStateError: the transformer is under a schedule, or ``run`` did not make whole runs.
    """
    if steps < 1 or probes < 1:
        raise ScheduleError(f"Drift cannot be measured with steps={steps} and probes={probes}; both must be above 0.")
    transformers = transformers_of(pipe)
    first = transformers[0]
    slots, how = slots_of(first), family_of(first).one_batch
    recorder = _Recorder(len(slots), steps, probes, seed, None if how is None else Halves(how, first))
    with ExitStack() as stack:
        # PyTorch calls hooks in the order in which they were registered: this one comes before the end of the call.
        for transformer in transformers:
            stack.callback(transformer.register_forward_hook(recorder.watch).remove)
        stack.enter_context(Instrument(pipe, recorder, steps, "The drift measurement"))
        stack.enter_context(first.register_forward_pre_hook(recorder.given, with_kwargs=True))  # after its own
        stack.enter_context(torch.no_grad())
        asked = stack.enter_context(_timesteps(pipe))
        run()
    if recorder.broken_off or not recorder.weight[:-1].all():
        raise CacheStateError(
            f"Drift was to be measured over {steps} steps, but a run of the pipeline was broken off or none was made; "
            "the function given must call the pipeline and let it finish."
        )
    weight = np.maximum(recorder.weight, 1.0)
    moved, power = recorder.moved / weight[:, None, None], recorder.power / weight[:, None]
    return Drift.from_moments(
        tuple(slot.name for slot in slots),
        moved[:-1],
        power[:-1],
        *_response(pipe, steps, asked),
        guidance=(moved[-1], power[-1]) if recorder.weight[-1] else None,
    )


def _response(pipe: Any, steps: int, asked: list[_Arguments]) -> tuple[NDArray[np.float64] | None, str]:
    """The scheduler's response, or None and why there is none."""
    scheduler = pipe.scheduler
    if not asked:
        return None, f"The pipeline does not call set_timesteps of its {type(scheduler).__name__}."
    try:
        return scheduler_response(scheduler, steps, asked[-1]), ""
    except EvaluationError as error:
        return None, str(error)


@contextmanager
def _timesteps(pipe: DiffusionPipeline) -> Iterator[list[_Arguments]]:
    """What ``set_timesteps`` of a pipeline's scheduler is called with."""
    asked: list[_Arguments] = []
    set_timesteps = pipe.scheduler.set_timesteps

    @functools.wraps(set_timesteps)  # pipelines look at its signature
    def noting(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        return set_timesteps(*args, **kwargs)

    with replaced("set_timesteps", (pipe.scheduler, noting)):
        yield asked


class _Recorder:
    """Computes every slot and keeps some elements of its outputs, of the transformer's, and of guidance.

    The row after the slots is of the transformer's output, the last of the difference of both guidance branches.

    Attributes:
        moved: ``(slots + 2, steps, steps)``: weighted sum over runs of the mean of ``(x[m] - x[n])^2``.
        power: ``(slots + 2, steps)``: weighted sum over runs of the mean of ``x[m]^2``.
        weight: ``(slots + 2,)``: sum of the weights; a run weighs as many as its outputs have elements.
        broken_off: whether a run was.
    """

    skipped = False

    def __init__(self, slots: int, steps: int, probes: int, seed: int, halves: Halves | None) -> None:
        self.moved = np.zeros((slots + 2, steps, steps))
        self.power = np.zeros((slots + 2, steps))
        self.weight = np.zeros(slots + 2)
        self._halves = halves
        self._guided = False  # whether both branches lie in this run's batches
        self._conditional: list[torch.Tensor] = []  # what the last call of that branch alone has given
        self.broken_off = False
        self._slots, self._steps, self._probes, self._seed = slots, steps, probes, seed
        self._runs = 0
        # Of each guidance branch: for each slot, the elements kept at each step so far.
        self._kept: dict[ContextKey, list[list[torch.Tensor]]] = {}
        self._context: ContextKey = (None, 0)
        self._new_run = False
        # Of the run: which elements of each tensor, by slot and the tensors' sizes.
        self._positions: dict[tuple[int, tuple[int, ...]], list[torch.Tensor]] = {}

    def begin(self, call: Call) -> None:
        if call.new_run:
            self._runs += 1
            self._positions.clear()
            self._conditional = []
            self._new_run = True
        if call.step == 0:
            self._kept[call.context] = [[] for _ in range(self._slots + 2)]
        self._context = call.context

    def visit(self, _index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outputs: dict[int, list[torch.Tensor]] = defaultdict(list)

        def keep(call: SlotCall, compute: Forward, slot_args: tuple[Any, ...], slot_kwargs: dict[str, Any]) -> Output:
            output: Output = compute(*slot_args, **slot_kwargs)
            outputs[block.first + call[0]] += tensors_in(output)
            return output

        with visited_slots(block, keep):
            result = forward(*args, **kwargs)
        for slot, tensors in outputs.items():
            self._keep(slot, tensors)
        return result

    def given(self, _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Look whether the first batch of a run is of both guidance branches."""
        if self._new_run and self._halves is not None:
            self._guided = self._halves.are_both(args, kwargs)
        self._new_run = False

    def watch(self, _module: object, _args: object, output: Any) -> None:
        """Keep some elements of the transformer's output, and of the difference of both branches."""
        first = output[0]
        tensors = list(first) if isinstance(first, (list, tuple)) else [first]
        self._keep(self._slots, tensors)
        if self._halves is not None:
            pair = self._halves.split(tensors) if self._guided else ([], [])
        elif is_second(self._context):
            pair = self._conditional, tensors
        else:
            self._conditional, pair = [tensor.clone() for tensor in tensors], ([], [])
        if pair[0]:
            self._keep(self._slots + 1, [one.float() - two.float() for one, two in zip(*pair, strict=True)])

    def _keep(self, index: int, tensors: list[torch.Tensor]) -> None:
        """Keep some elements of a slot's output at a step."""
        flat = [tensor.reshape(-1) for tensor in tensors]
        sizes = tuple(tensor.numel() for tensor in flat)
        if (index, sizes) not in self._positions:
            self._positions[index, sizes] = self._choose(index, flat)
        chosen = [tensor[at] for tensor, at in zip(flat, self._positions[index, sizes], strict=True)]
        self._kept[self._context][index].append(torch.cat(chosen).float())
        if len(self._kept[self._context][index]) == self._steps:
            self._add(index, torch.stack(self._kept[self._context][index]), sum(sizes))

    def end(self, call: Call) -> None:
        if call.step == self._steps - 1:
            del self._kept[call.context]

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        pass

    def drop(self) -> None:
        self.broken_off = self.broken_off or bool(self._kept)
        self._kept.clear()

    def _choose(self, index: int, flat: list[torch.Tensor]) -> list[torch.Tensor]:
        """Positions of the kept elements in each of a slot's output tensors."""
        ends = np.cumsum([tensor.numel() for tensor in flat])
        total = int(ends[-1])
        if total <= self._probes:
            positions = np.arange(total)
        else:
            generator = np.random.default_rng([self._seed, self._runs, index])
            positions = np.sort(generator.choice(total, self._probes, replace=False, shuffle=False))
        parts = np.split(positions, np.searchsorted(positions, ends[:-1]))
        starts = ends - [tensor.numel() for tensor in flat]
        return [
            torch.from_numpy(part - start).to(tensor.device)
            for part, start, tensor in zip(parts, starts, flat, strict=True)
        ]

    def _add(self, index: int, kept: torch.Tensor, weight: int) -> None:
        """Add a finished run's ``(steps, kept elements)`` outputs of one slot."""
        x: NDArray[np.float64] = kept.double().cpu().numpy()
        products = x @ x.T / x.shape[1]
        power = np.diagonal(products)
        # In double precision the difference loses nothing that single precision outputs had.
        moved = np.maximum(power[:, None] + power[None, :] - (products + products.T), 0.0)
        self.moved[index] += weight * moved
        self.power[index] += weight * power
        self.weight[index] += weight
