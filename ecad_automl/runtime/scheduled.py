"""What is done in each block of each transformer call of a run under a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ecad_automl.runtime.blocks import Block, Forward, SlotCall, Visit, visited_slots
from ecad_automl.runtime.cache import CachedOutputs, Entry, Output, OutputCache, TextOutputs
from ecad_automl.runtime.plan import Action, plan_of
from ecad_automl.runtime.program import Functions, Program
from ecad_automl.runtime.record import record
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.runtime.structure import Arguments, OpaqueValueError, Signature, Spec, build_like, flatten, rebuild
from ecad_automl.schedules.schedule import Schedule

_FRESH = (Action.COMPUTE, Action.STORE)

# The same work with nothing freed and everything kept.
_KEEPING = {Action.COMPUTE: Action.STORE, Action.REUSE_LAST: Action.REUSE}


class ScheduledRun:
    """Computes, reuses or skips each slot as the schedule says.

    The first time a block gets arguments of some shape, all its slots are computed, so the block is recorded then;
    afterwards its program runs, without what nobody reads. A block that cannot be recorded, or of whose class nothing
    is known, always runs whole, with only the slots stood in for.
    """

    skipped = False

    def __init__(self, functions: Functions, cache: OutputCache) -> None:
        self.cache = cache
        self._text = TextOutputs()
        #: Why blocks run whole, by path.
        self.unrecorded: dict[str, str] = {}
        self._functions = functions
        #: For each step, the actions of each block.
        self.plan: list[list[tuple[Action, ...]]] = []
        #: The same where all outputs are kept, whether the schedule reads them or not.
        self.keeping: list[list[tuple[Action, ...]]] = []
        self._rows: list[tuple[Action, ...]] = []
        # Tensors in memory of their own that the last block has given, and those that the one before it had.
        self._given: list[torch.Tensor] = []
        self._before: list[torch.Tensor] = []
        self._arguments = Arguments()
        self._outputs: dict[Entry, Spec] = {}  # what slots have given
        self._noted: dict[str, Program] = {}  # by block: the program whose outputs are in there

    def take(self, schedule: Schedule, blocks: tuple[Block, ...]) -> None:
        """From now on, run under that schedule, with the transformer's blocks in the order of its layout."""
        self.unrecorded = {block.path: block.whole for block in blocks if block.whole is not None}
        self.plan = [
            [row[block.first : block.first + len(block.components)] for block in blocks] for row in plan_of(schedule)
        ]
        self.keeping = [[tuple(_KEEPING.get(action, action) for action in row) for row in step] for step in self.plan]

    def visit_text(self, index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the text module number ``index``."""
        return self._text.visit(index, forward, args, kwargs)

    def restore(self, context: ContextKey, cached: CachedOutputs, outputs: Mapping[Entry, Spec]) -> None:
        """Go on in a guidance branch from what another run had kept, and what its slots had given."""
        self.cache.replace(context, cached)
        self._outputs |= outputs
        self._noted.clear()

    @property
    def outputs(self) -> Mapping[Entry, Spec]:
        """What slots have given."""
        return self._outputs

    def keep(self, step: int, *, everything: bool) -> None:
        """From the next block on, keep all outputs, or those that the schedule reads."""
        self._rows = (self.keeping if everything else self.plan)[step]

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        if self._functions.overwrites:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        self.keep(call.step, everything=False)
        self._given = []
        self.cache.begin(call.context)
        self._text.begin(call.context)

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a block."""
        self._before, self._given = self._given, []
        row = self._rows[index]
        if not self._functions.compiles and all(action is Action.COMPUTE for action in row):
            return forward(*args, **kwargs)  # nothing is kept or reused
        if block.whole is not None:
            return self._run_whole(block, row, forward, args, kwargs)
        if getattr(forward, "__func__", None) is not type(block.module).forward:
            # Something is hooked below us, as an offloading or a quantisation, and must be heard.
            self.unrecorded[block.path] = "its forward is wrapped"
            return self._run_whole(block, row, forward, args, kwargs)
        try:
            spec, tensors = self._arguments.flatten(args, kwargs, training=block.module.training)
        except OpaqueValueError as error:
            self.unrecorded[block.path] = f"it gets {error}"
            return self._run_whole(block, row, forward, args, kwargs)
        if spec not in self._functions.blocks[block.path] and all(action in _FRESH for action in row):
            result = self._record(index, block, spec, forward, args, kwargs)
            if not self._functions.compiles:
                return result
        program = self._functions.blocks[block.path].get(spec)
        if not isinstance(program, Program):
            if program is not None:
                self.unrecorded[block.path] = program
            return self._run_whole(block, row, forward, args, kwargs)
        return self._run(block, program, row, tensors)

    def end(self, call: Call) -> None:
        """The transformer call has come to its end."""
        self._given, self._before = [], []
        self._arguments.forget()
        if call.step == len(self.plan) - 1:
            self.cache.drop(call.context)
            self._text.drop(call.context)

    def drop(self) -> None:
        """Forget all outputs."""
        self.cache.clear()
        self._text.clear()
        self._given, self._before = [], []
        self._arguments.forget()

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        """Forget all recordings."""
        self._functions.for_parts(parts)

    def _run(self, block: Block, program: Program, row: tuple[Action, ...], tensors: list[torch.Tensor]) -> Any:
        step = program.step(row, self._owned(block, tensors))
        for place, number in step.reads:
            tensors += self.cache.read((block.first + place, number), last=row[place] is Action.REUSE_LAST)
        outputs = program.run(step, block.module, tensors)
        if self._noted.get(block.path) is not program:
            self._noted[block.path] = program
            self._outputs |= {(block.first + place, number): spec for (place, number), spec in program.outputs.items()}
        at = len(step.results)
        self._given = [tensor for tensor, fresh in zip(outputs, step.results, strict=False) if fresh]
        for (place, number), count in step.stores:
            kept = outputs[at : at + count]
            if self._functions.overwrites:
                kept = tuple(map(torch.clone, kept))
            self.cache.store((block.first + place, number), kept)
            at += count
        return rebuild(program.result, outputs)

    def _owned(self, block: Block, tensors: list[torch.Tensor]) -> frozenset[int]:
        """Which arguments the block before has given for this one alone, in memory that nothing else sees."""
        if not self._before or not block.chain or torch.is_grad_enabled() or block.module._forward_pre_hooks:
            return frozenset()
        before = {id(tensor) for tensor in self._before}
        return frozenset([number for number, tensor in enumerate(tensors) if id(tensor) in before])

    def _record(
        self, index: int, block: Block, spec: Signature, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result, recording = record(block, forward, args, kwargs, self._slot_visit(block, self._rows[index]))
        if isinstance(recording, str):
            self._functions.blocks[block.path][spec] = self.unrecorded[block.path] = recording
        else:
            self._functions.blocks[block.path][spec] = self._functions.program(spec, recording)
        return result

    def _run_whole(
        self, block: Block, row: tuple[Action, ...], forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the block's own forward, with something else in the place of slots that are reused."""
        with visited_slots(block, self._slot_visit(block, row)):
            return forward(*args, **kwargs)

    def _slot_visit(self, block: Block, row: tuple[Action, ...]) -> Visit:
        """What to do in the place of the block's slots."""

        def kept(tensor: torch.Tensor) -> torch.Tensor:
            # A block that nobody has looked at may write to what its slots give.
            return tensor if block.whole is None else tensor.clone()

        def visit(call: SlotCall, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
            place, number = call
            entry = (block.first + place, number)
            action = row[place]
            if action in _FRESH:
                output: Output = compute(*args, **kwargs)
                self._outputs[entry], tensors = flatten(output)
                self._noted.pop(block.path, None)
                if action is Action.STORE:
                    self.cache.store(entry, tuple(map(kept, tensors)))
                return output
            spec = self._outputs[entry]
            if action is Action.SKIP:
                # Nobody reads it: zeros of its shape, which take no memory.
                blank: Output = build_like(spec, lambda shape, **kind: torch.zeros(1, **kind).expand(shape))
                return blank
            cached: Output = rebuild(spec, list(map(kept, self.cache.read(entry, last=action is Action.REUSE_LAST))))
            return cached

        return visit
