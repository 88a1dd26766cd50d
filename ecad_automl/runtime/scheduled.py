"""What is done in each block of each transformer call of a run under a schedule."""

from __future__ import annotations

from typing import Any

import torch

from ecad_automl.runtime.blocks import Block, Forward, SlotCall, Visit, visited_slots
from ecad_automl.runtime.cache import Entries, Output, OutputCache, tensors_in
from ecad_automl.runtime.plan import Action, plan_of
from ecad_automl.runtime.program import Functions, Program
from ecad_automl.runtime.record import record
from ecad_automl.runtime.steps import Call
from ecad_automl.runtime.structure import OpaqueValueError, Spec, build_like, flatten, rebuild
from ecad_automl.schedule import Schedule

__all__ = ["ScheduledRun"]

_FRESH = (Action.COMPUTE, Action.STORE)

# Shapes of arguments that a block has programs for: prompts of other lengths make other ones.
_MAX_PROGRAMS = 64


class ScheduledRun:
    """Computes, reuses or skips each slot as the schedule says.

    The first time a block gets arguments of some shape, all its slots are computed, so the block is recorded then;
    afterwards its program runs, without what nobody reads. A block that cannot be recorded always runs whole, with
    only the slots stood in for.

    Args:
        schedule: the schedule.
        blocks: all blocks of the transformer, in the order of the schedule's layout.
        functions: where functions made for blocks are kept.
    """

    def __init__(self, schedule: Schedule, blocks: tuple[Block, ...], functions: Functions) -> None:
        self.cache = OutputCache()
        #: Why blocks run whole, by path.
        self.unrecorded: dict[str, str] = {}
        self._functions = functions
        self._plan = [
            [row[block.first : block.first + len(block.components)] for block in blocks] for row in plan_of(schedule)
        ]
        self._rows: list[tuple[Action, ...]] = []
        self._entries: Entries = {}
        self._shapes: dict[tuple[int, int], Spec] = {}
        self._programs: list[dict[Spec, Program | None]] = [{} for _ in blocks]

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        self._rows = self._plan[call.step]
        self._entries = self.cache.entries(call.context)

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a block."""
        row = self._rows[index]
        if getattr(forward, "__func__", None) is not type(block.module).forward:
            # Something is hooked below us, as an offloading or a quantisation, and must be heard.
            self.unrecorded[block.path] = "its forward is wrapped"
            return self._run_whole(block, row, forward, args, kwargs)
        try:
            spec, tensors = flatten((args, kwargs, block.module.training))
        except OpaqueValueError as error:
            self.unrecorded[block.path] = f"it gets {error}"
            return self._run_whole(block, row, forward, args, kwargs)
        programs = self._programs[index]
        if spec not in programs and all(action in _FRESH for action in row):
            return self._record(index, block, spec, forward, args, kwargs)
        program = programs.get(spec)
        if program is None:
            return self._run_whole(block, row, forward, args, kwargs)
        return self._run(block, program, row, tensors)

    def end(self, call: Call) -> None:
        """The transformer call has come to its end."""
        if call.step == len(self._plan) - 1:
            self.cache.drop(call.context)

    def drop(self) -> None:
        """Forget all outputs."""
        self.cache.clear()
        self._entries = {}

    def modules_changed(self) -> None:
        """Forget all recordings."""
        for programs in self._programs:
            programs.clear()

    def _run(self, block: Block, program: Program, row: tuple[Action, ...], tensors: list[torch.Tensor]) -> Any:
        step = program.step(row)
        for place, number in step.reads:
            entry = (block.first + place, number)
            last = row[place] is Action.REUSE_LAST
            tensors += tensors_in(self._entries.pop(entry) if last else self._entries[entry])
        outputs = step.function(block.module, *tensors)
        at = step.results
        for (place, number), spec, count in step.stores:
            self._entries[block.first + place, number] = rebuild(spec, outputs[at : at + count])
            at += count
        return rebuild(program.result, outputs)

    def _record(
        self, index: int, block: Block, spec: Spec, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result, recording = record(block, forward, args, kwargs, self._slot_visit(block, self._rows[index]))
        programs = self._programs[index]
        if len(programs) >= _MAX_PROGRAMS:
            programs.clear()
        if isinstance(recording, str):
            self.unrecorded[block.path] = recording
            programs[spec] = None
        else:
            programs[spec] = self._functions.program(spec, recording)
        return result

    def _run_whole(
        self, block: Block, row: tuple[Action, ...], forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the block's own forward, with something else in the place of slots that are reused."""
        with visited_slots(block, self._slot_visit(block, row)):
            return forward(*args, **kwargs)

    def _slot_visit(self, block: Block, row: tuple[Action, ...]) -> Visit:
        """What to do in the place of the block's slots."""

        def visit(call: SlotCall, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
            place, number = call
            entry = (block.first + place, number)
            action = row[place]
            if action is Action.REUSE:
                return self._entries[entry]
            if action is Action.REUSE_LAST:
                return self._entries.pop(entry)
            if action is Action.SKIP:
                return self._blank(entry)
            output: Output = compute(*args, **kwargs)
            self._shapes[entry] = flatten(output)[0]
            if action is Action.STORE:
                self._entries[entry] = output
            return output

        return visit

    def _blank(self, entry: tuple[int, int]) -> Output:
        """Stands for an output that nobody reads: zeros of its shape, which take no memory."""
        output: Output = build_like(self._shapes[entry], lambda shape, **kind: torch.zeros(1, **kind).expand(shape))
        return output
