"""Shifts, scales and gates of the next steps, made together before the first of them.

They depend on the time and on what is the same in every step, and the times of a run are known when it begins. A layer
that makes them has one row of input for each image, so that most of its time is reading weights: for several steps
one after the other these are still in the cache of the processor. Each step has its own product, so that bits and MACs
are those of making it when it is needed.

Nothing is taken on trust: a step uses what was made for it only if it is given what that was made of, which is looked
at in tensors on the CPU alone. On a GPU it would have to be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import fx, nn

from ecad_automl.runtime.blocks import Block
from ecad_automl.runtime.modulations import LayerRows
from ecad_automl.runtime.program import Program
from ecad_automl.runtime.steps import Call, ContextKey

#: For so many steps at once.
STEPS = 8

# Of weights that are read again and again: half of what a core of today has in its second cache.
_BYTES = 2**20
# Kernels take so many rows together, or parts of it.
_ROWS_TOGETHER = 64

#: What pipelines hand to transformers for a timestep of their schedulers.
_TIMES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (lambda time: time, lambda time: time / 1000)


@dataclass(frozen=True)
class Conditions:
    """Arguments of blocks that depend on few tensors of the transformer's call, as embeddings of time and text.

    Args:
        function: makes them, of the modules and the tensors of the transformer's arguments.
        modules: those that are called, or have parameters that are read.
        inputs: numbers of the tensors that they depend on.
        nodes: what they are in the recording of the transformer.
        programs: the blocks'.
        arguments: for each block: the numbers of its arguments that are such, each with the number of the condition.
    """

    function: Callable[..., tuple[torch.Tensor, ...]]
    modules: SimpleNamespace
    inputs: tuple[int, ...]
    nodes: tuple[fx.Node, ...]
    programs: tuple[Program, ...]
    arguments: tuple[Mapping[int, int], ...]


class Prepared(NamedTuple):
    """What was made for a step.

    Args:
        inputs: of these it was made: number of the tensor, the tensor, and its version; None where any of equal
            values will do.
        conditions: see :class:`Conditions`.
        rows: for each block, what its step takes of layers.
    """

    inputs: tuple[tuple[int, torch.Tensor, int | None], ...]
    conditions: tuple[torch.Tensor, ...]
    rows: tuple[list[torch.Tensor], ...]

    def fits(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether a call with these tensors may use it."""
        return all(
            torch.equal(tensors[number], tensor)
            if version is None
            else tensors[number] is tensor and tensor._version == version
            for number, tensor, version in self.inputs
        )


class Ahead:
    """Prepares steps of runs."""

    def __init__(self) -> None:
        self._prepared: dict[tuple[ContextKey, int], Prepared] = {}
        self._seen: dict[ContextKey, list[tuple[torch.Tensor, int]]] = {}
        self._fails = False  # in this run

    def drop(self, context: ContextKey) -> None:
        """A guidance branch of the run is over."""
        self._seen.pop(context, None)
        for key in [key for key in self._prepared if key[0] == context]:
            del self._prepared[key]

    def clear(self) -> None:
        """A run begins, or is over."""
        self._prepared.clear()
        self._seen.clear()
        self._fails = False

    def see(self, call: Call, tensors: Sequence[torch.Tensor]) -> None:
        """A call is made with these tensors for which nothing is wanted."""
        if not any(tensor.is_inference() for tensor in tensors):
            self._seen[call.context] = [(tensor, tensor._version) for tensor in tensors]

    def of(
        self,
        call: Call,
        tensors: Sequence[torch.Tensor],
        conditions: Conditions | None,
        blocks: Sequence[Block],
        wanted: Callable[[int], Sequence[Sequence[LayerRows]] | None],
    ) -> Prepared | None:
        """What was made for a call, or is now, for the steps after it too; None if nothing.

        Args:
            call: in a run that has none of its steps left out.
            tensors: of the transformer's arguments.
            conditions: what there is to make; None if nothing.
            blocks: the transformer's.
            wanted: for each block the rows that it takes in a step; None for a step in which none is run.
        """
        if self._fails or any(tensor.device.type != "cpu" or tensor.is_inference() for tensor in tensors):
            return None
        before = self._seen.get(call.context)
        self.see(call, tensors)
        found = self._prepared.pop((call.context, call.step), None)
        if found is None and conditions is not None and before is not None:
            self._prepare(call, tensors, before, conditions, blocks, wanted)
            found = self._prepared.pop((call.context, call.step), None)
        elif found is not None and not found.fits(tensors):
            found = None
            self._fails = True
        return found

    def _prepare(
        self,
        call: Call,
        tensors: Sequence[torch.Tensor],
        before: Sequence[tuple[torch.Tensor, int]],
        conditions: Conditions,
        blocks: Sequence[Block],
        wanted: Callable[[int], Sequence[Sequence[LayerRows]] | None],
    ) -> None:
        times: dict[int, Callable[[int], torch.Tensor]] = {}
        for number in conditions.inputs:
            tensor = tensors[number]
            if before[number][0] is tensor and before[number][1] == tensor._version:
                continue
            time = _time_of(tensor, call)
            if time is None:
                self._fails = True
                return
            times[number] = time
        takes = {step: wanted(step) for step in range(call.step, call.step + STEPS)}
        steps = {
            step: rows
            for step, rows in takes.items()
            if rows is not None and (call.context, step) not in self._prepared
        }
        inputs: dict[int, tuple[tuple[int, torch.Tensor, int | None], ...]] = {}
        made: dict[int, tuple[torch.Tensor, ...]] = {}
        for step in steps:
            given = [times[number](step) if number in times else tensor for number, tensor in enumerate(tensors)]
            made[step] = conditions.function(conditions.modules, *given)
            inputs[step] = tuple(
                [(at, given[at], None if at in times else tensors[at]._version) for at in conditions.inputs]
            )
        rows: dict[int, tuple[list[torch.Tensor], ...]] = dict.fromkeys(steps, ())
        activated: dict[tuple[object, ...], torch.Tensor] = {}
        for index, (block, which) in enumerate(zip(blocks, conditions.arguments, strict=True)):
            found = _rows(block.module, which, {step: each[index] for step, each in steps.items()}, made, activated)
            rows = {step: (*rows[step], found[step]) for step in steps}
        for step in steps:
            self._prepared[call.context, step] = Prepared(inputs[step], made[step], rows[step])


def _rows(
    module: nn.Module,
    conditions: Mapping[int, int],
    wanted: Mapping[int, Sequence[LayerRows]],
    made: Mapping[int, Sequence[torch.Tensor]],
    activated: dict[tuple[object, ...], torch.Tensor],
) -> dict[int, list[torch.Tensor]]:
    """Rows of layers of a block for each step, layer by layer."""
    takers: dict[LayerRows, list[int]] = {}
    for step, each in wanted.items():
        for rows in each:
            takers.setdefault(rows, []).append(step)
    inputs: dict[tuple[int, tuple[str, ...]], dict[int, torch.Tensor]] = {}
    found: dict[tuple[int, LayerRows], torch.Tensor] = {}
    for rows, steps in takers.items():
        kind = rows.argument, rows.activations
        if kind not in inputs:
            modules = [module.get_submodule(path) for path in rows.activations]
            condition = conditions[rows.argument]
            inputs[kind] = {step: _activated(activated, modules, condition, step, made[step]) for step in wanted}
        layer = module.get_submodule(rows.layer)
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, torch.Tensor)
        together = max(_BYTES // (weight.shape[1] * weight.element_size() * _ROWS_TOGETHER), 1) * _ROWS_TOGETHER
        parts: dict[int, list[torch.Tensor]] = {step: [] for step in steps}
        for low in range(rows.low, rows.high, together):
            part = slice(low, min(low + together, rows.high))
            read = weight[part], bias[part] if isinstance(bias, torch.Tensor) else None
            for step in steps:
                parts[step].append(nn.functional.linear(inputs[kind][step], *read))
        for step, tensors in parts.items():
            found[step, rows] = tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=-1)
    return {step: [found[step, rows] for rows in each] for step, each in wanted.items()}


def _activated(
    known: dict[tuple[object, ...], torch.Tensor],
    modules: Sequence[nn.Module],
    condition: int,
    step: int,
    made: Sequence[torch.Tensor],
) -> torch.Tensor:
    """A condition after activations, which are those of other blocks too."""
    key = step, condition, *map(repr, modules)
    if key not in known:
        tensor = made[condition]
        for module in modules:
            tensor = module(tensor)
        known[key] = tensor
    return known[key]


def _time_of(tensor: torch.Tensor, call: Call) -> Callable[[int], torch.Tensor] | None:
    """What a pipeline hands to the transformer in each step, where it has made a tensor of the step's time."""
    times = call.times
    if times is None or times.device.type != "cpu" or len(times) <= call.step:
        return None
    for made in _TIMES:

        def at(step: int, made: Callable[[torch.Tensor], torch.Tensor] = made) -> torch.Tensor:
            return made(times[step].to(tensor.dtype).expand(tensor.shape))

        if torch.equal(at(call.step), tensor):
            return at
    return None
