"""What is done in each block of each transformer call of a run under a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ecad_automl.errors import CacheStateError
from ecad_automl.runtime.ahead import Prepared
from ecad_automl.runtime.blocks import Block, Forward, SlotCall, Visit, blocks_of, visited_slots
from ecad_automl.runtime.cache import CachedOutputs, Entry, Kept, Output, OutputCache, TextOutputs, forecast
from ecad_automl.runtime.fitted import FittedSteps
from ecad_automl.runtime.guided import Branch, GuidedCalls, Halves
from ecad_automl.runtime.plan import Action, Plan, Planned, Row, StepRows
from ecad_automl.runtime.positions import Positions
from ecad_automl.runtime.program import Functions, Program, Step
from ecad_automl.runtime.record import record
from ecad_automl.runtime.reused_steps import Outside, ReusedStep, ReusedSteps
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.runtime.structure import (
    Arguments,
    OpaqueValueError,
    Signature,
    build_like,
    flatten,
    rebuild,
    with_batch,
)

_FRESH = (Action.COMPUTE, Action.STORE)
_TENSOR = object()
#: Outputs of the transformer that are kept for runs under other schedules: no forecast is made of more.
_WHOLE = 2


class Keep(Enum):
    """What is kept in a transformer call."""

    READ = "what the schedule reads"
    WHOLE = "that, and the transformer's last outputs"
    EVERYTHING = "the last outputs of all slots, and of the transformer"


class ScheduledRun:
    """Computes each slot, or uses what is cached of it, as the schedule says; likewise the transformer as a whole.

    The first time a block gets arguments of some shape it is recorded; afterwards its program runs, without what nobody
    reads. Where that first time is not in the first step, as of half of a batch of both guidance branches, it is run
    once more to record it. A block that cannot be recorded, or of whose class nothing is known, always runs whole, with
    only the slots stood in for.
    """

    def __init__(self, functions: Functions, cache: OutputCache, *, shares: bool = False) -> None:
        self.cache = cache
        self._shares = shares  # what is kept, with runs under other schedules
        self._activates = False  # whether outputs are kept after their activation
        self._fuses = False  # whether operations of blocks may be fused
        self._text = TextOutputs()
        #: Embeddings of positions.
        self.positions = Positions(())
        #: Why blocks run whole, by path.
        self.unrecorded: dict[str, str] = {}
        self._never_recorded: dict[str, str] = {}
        #: Whether the transformer is not entered in this call.
        self.skipped = False
        self._functions = functions
        self._reused: list[ReusedSteps] = []  # of each transformer
        self._transformer = 0  # which one is called
        self._blocks: tuple[Block, ...] = ()
        self._keeping: dict[Keep, dict[Branch, list[StepRows]]] = {}
        self._keep = Keep.READ  # in this call
        self._steps = 0
        self._depth = 1  # how many outputs of each slot are kept where everything is
        self._rows = StepRows([], Planned(Action.COMPUTE))
        self._step = 0
        self._call: Call | None = None
        self._prepared: Prepared | None = None  # for this call
        self._whole: Entry = (0, 0)  # the transformer's output, after all slots
        self._coefficients = np.zeros((0, 0, 0), dtype=np.float32)
        self._tables: dict[torch.device, torch.Tensor] = {}
        # Tensors in memory of their own that the last block has given, and those that the one before it had.
        self._given: list[torch.Tensor] = []
        self._before: list[torch.Tensor] = []
        self._arguments = Arguments()
        self._outputs: dict[Entry, Any] = {}  # the form of what slots, and the transformer, have given
        self._noted: dict[str, Program] = {}  # by block: the program whose outputs are in there
        #: What the scheduler is given in place of outputs, where that was fitted.
        self.fitted: FittedSteps | None = None
        #: What is done about guidance.
        self.guided = GuidedCalls(cache)
        self._entered = False  # whether this call came to our forward
        self._tries = False  # whether a block is run only to record it: nothing is kept or freed

    def take(self, plan: Plan, transformers: Sequence[nn.Module]) -> None:
        """From now on, run by that plan of the blocks of a transformer, or of two that take the steps in turns.

        What is kept of one of these stands for outputs of the other where the plan says so.
        """
        self.guided.take(plan.guidance, (plan.slots + 1, 0), transformers[0])
        self._reused += [ReusedSteps(self._functions, self._run_block) for _ in transformers[len(self._reused) :]]
        for reused, transformer in zip(self._reused, transformers, strict=True):
            reused.take(blocks_of(transformer), transformer)
        self._blocks = blocks = blocks_of(transformers[0])
        self._never_recorded = {block.path: block.whole for block in blocks if block.whole is not None}
        self.unrecorded = dict(self._never_recorded)
        self._activates = not (
            self._shares or self._functions.compiles or self.cache.dtype is not None or plan.depths[0] > 1
        )
        self._fuses = self._functions.fuses and not plan.computes_all
        self._steps = len(plan.coefficients)
        self._keeping = {Keep.READ: plan.rows}
        if self._shares:
            # What is kept for one schedule is kept for all later ones, so that they share.
            self._depth = max(self._depth, plan.depths[0])
            everything = plan.keeping((self._depth, _WHOLE))
            self._keeping[Keep.WHOLE] = plan.keeping_whole(everything)
            self._keeping[Keep.EVERYTHING] = dict.fromkeys(Branch, everything)
        self._whole = (plan.slots, 0)
        self._coefficients = plan.coefficients
        self._tables.clear()

    def visit_text(self, index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of the text module number ``index``."""
        return self._text.visit(index, forward, args, kwargs)

    def restore(self, context: ContextKey, cached: CachedOutputs, outputs: Mapping[Entry, Any]) -> None:
        """Go on in a guidance branch from what another run had kept, and the form of what it was given.

        Differences of guidance branches are this run's own.
        """
        own = {key: kept for key, kept in self.cache.outputs(context).items() if key[0] > self._whole[0]}
        self.cache.replace(context, {**cached, **own})
        self._outputs |= outputs
        self._noted.clear()

    @property
    def outputs(self) -> Mapping[Entry, Any]:
        """The form of what slots, and the transformer, have given."""
        return self._outputs

    def keep(self, step: int, what: Keep) -> None:
        """From the next block on, keep that."""
        self._keep = what
        self._rows = self._keeping[what][self.guided.branch][step]

    def made(self, kept: list[Kept], form: Any) -> Any:
        """The transformer's output from its tensors as they are kept, in memory of its own."""
        tensors = iter(kept)
        parts, tree = form
        return tree_unflatten([next(tensors).tensor.clone() if part is _TENSOR else part for part in parts], tree)

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        if self._functions.overwrites:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        if call.new_run:
            for reused in self._reused:
                reused.begin_run()
        self._transformer = call.transformer
        self.guided.begin(call)
        self.keep(call.step, Keep.READ)
        self._call, self._step = call, call.step
        self._prepared = None
        if self.fitted is not None:
            self.fitted.begin(call.step)
        self._entered = False
        self.skipped = bool(self._rows.output.sources) or self.guided.answered
        self._given = []
        self.cache.begin(call.context)
        # Half of a text lies elsewhere, and is worked on once by itself.
        self._text.begin((*call.context, self.guided.halved))

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a block."""
        if self.skipped or (self.guided.halved and not self._entered):
            raise self._bypassed()
        self._before, self._given = self._given, []
        row = self._rows.blocks[index]
        runs_as_it_is = not (self._functions.compiles or self._fuses)
        if runs_as_it_is and all(action is Action.COMPUTE for action in row.actions):
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
        if spec not in self._functions.blocks[block.module]:
            fused_later = self._fuses and self._step > 0  # so that all runs have the same bits
            self._tries = self._functions.compiles or fused_later  # it is run once more below
            result = self._record(index, block, spec, forward, args, kwargs)
            if not self._tries:
                return result
            self._tries = False
        program = self._functions.blocks[block.module].get(spec)
        if not isinstance(program, Program):
            if program is not None:
                self.unrecorded[block.path] = program
            return self._run_whole(block, row, forward, args, kwargs)
        return rebuild(program.result, self._run(index, block, program, row, tensors))

    def _run_block(
        self, index: int, block: Block, program: Program, conditions: frozenset[int], *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The tensors of the output of a block, from those of its arguments, some of which may not be used."""
        self._before, self._given = self._given, []
        return self._run(index, block, program, self._rows.blocks[index], tensors, conditions)

    def forward(self, _index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a transformer call: of a skipped one in the form of the last one that was not."""
        planned = self._rows.output
        self._entered = True
        if planned.sources:
            if not all((*self._whole, source) in self.cache for source in planned.sources):
                raise self._bypassed()
            parts, tree = self._outputs[self._whole]
            tensors = iter(self._used(self._whole, planned))
            return tree_unflatten([next(tensors).clone() if part is _TENSOR else part for part in parts], tree)
        if self._fuses and not self.guided.halved:
            forward = partial(self._whole_or_by_block, forward)
        result = self.guided.forward(forward, args, kwargs)
        if self._rows.output.action is Action.STORE:
            parts, tree = tree_flatten(result)
            # In memory of their own, since pipelines may write to what they are given.
            kept = [part.clone() for part in parts if isinstance(part, torch.Tensor)]
            self.cache.store((*self._whole, self._step), kept, self._rows.output.frees, as_is=True)
            self._outputs[self._whole] = [_TENSOR if isinstance(part, torch.Tensor) else part for part in parts], tree
        return result

    def _whole_or_by_block(self, forward: Forward, *args: Any, **kwargs: Any) -> Any:
        """The output of a call in which the transformer is entered, without calling blocks if all are reused."""
        assert self._call is not None
        found = self._reused[self._transformer].forward(
            forward,
            args,
            kwargs,
            self._call,
            self._keeping[self._keep][self.guided.branch],
            by_block=self._keep is Keep.EVERYTHING,  # what is kept for others is looked at after each block
            ahead=not self.guided.acts and len(self._reused) == 1,
        )
        if not (isinstance(found, tuple) and found and isinstance(found[0], (ReusedStep, Outside))):
            return found
        self.skipped = True  # as far as blocks are concerned
        step, tensors, self._prepared = found
        given: list[Any] = [*tensors, *(() if self._prepared is None else self._prepared.conditions)]
        if isinstance(step, ReusedStep):
            for index, (block, row, taken) in enumerate(zip(self._blocks, self._rows.blocks, step.steps, strict=True)):
                given += self._taken(index, block, taken, row, tensors[-1].device)
        return step.run(given)

    def end(self, call: Call) -> None:
        """The transformer call has come to its end."""
        self._given, self._before = [], []
        self._arguments.forget()
        self._prepared = None
        if call.step == self._steps - 1:
            for reused in self._reused:
                reused.end_branch(call.context)
            self.cache.drop(call.context)
            for halved in (False, True):
                self._text.drop((*call.context, halved))

    def drop(self) -> None:
        """Forget all outputs."""
        self.cache.clear()
        self._text.clear()
        self.positions.drop()
        self.guided.drop()
        self._tries = False
        self._given, self._before = [], []
        self._arguments.forget()
        for reused in self._reused:
            reused.forget()
        self._prepared = None

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        """Forget all recordings."""
        self._functions.for_parts(parts)
        self.unrecorded = dict(self._never_recorded)

    def _run(
        self,
        index: int,
        block: Block,
        program: Program,
        row: Row,
        tensors: Sequence[torch.Tensor],
        conditions: frozenset[int] = frozenset(),
    ) -> tuple[torch.Tensor, ...]:
        # A first step may be the one in which blocks are recorded, by their own code: all runs have the same bits.
        fuses = self._fuses and self._step > 0
        activated = self._activated(block, program, row) if program.activations else frozenset()
        step = program.step(row.actions, self._owned(block, tensors), activated, conditions, fuses=fuses)
        outputs = program.run(step, block.module, [*tensors, *self._taken(index, block, step, row, tensors[-1].device)])
        if self._noted.get(block.path) is not program:
            self._noted[block.path] = program  # of a spec that tells the size of the batch
            for (place, number), spec in program.outputs.items():
                self._note((block.first + place, number), spec)
        at = len(step.results)
        self._given = [tensor for tensor, fresh in zip(outputs, step.results, strict=False) if fresh]
        for (place, number), count in step.stores:
            kept = list(outputs[at : at + count])
            if self._functions.overwrites:
                kept = list(map(torch.clone, kept))
            self._store((block.first + place, number), kept, row.planned[place], activated=(place, number) in activated)
            at += count
        return outputs[: len(step.results)]

    def _taken(self, index: int, block: Block, step: Step, row: Row, device: torch.device) -> list[Any]:
        """What a step of a block takes beside its arguments."""
        taken: list[Any] = []
        for place, number in step.reads:
            for read in self._read((block.first + place, number), row.planned[place]):
                taken += read
        taken += self._scales(block, step, row, device)
        if step.rows:
            assert self._prepared is not None
            taken += self._prepared.rows[index]
        return taken

    def _read(self, entry: Entry, planned: Planned) -> list[list[torch.Tensor]]:
        """The tensors of each output that is used."""
        sources, found = planned.sources, []
        for number, source in enumerate(sources):
            last = source in planned.frees and source not in sources[number + 1 :] and not self._tries
            tensors = self.cache.read((*entry, source), last=last)
            if planned.halves and planned.halves[number]:
                tensors = [self._halves.conditional(tensor) for tensor in tensors]
            found.append(tensors)
        return found

    def _activated(self, block: Block, program: Program, row: Row) -> frozenset[SlotCall]:
        """The calls of slots whose outputs are kept after their activation."""
        found = set()
        for place, number in program.activations:
            planned = row.planned[place]
            if planned.sources:
                kept = self.cache.is_activated((block.first + place, number, planned.sources[0]))
            else:
                kept = planned.action is Action.STORE and self._activates
            if kept:
                found.add((place, number))
        return frozenset(found)

    def _store(self, entry: Entry, tensors: list[torch.Tensor], planned: Planned, *, activated: bool = False) -> None:
        """Keep an output, where it is of half of a batch beside the other half of what was kept before."""
        if self._tries:
            return
        if planned.sources:
            both = self._read(entry, planned)[0]
            tensors = [self._halves.beside(*pair) for pair in zip(tensors, both, strict=True)]
        self.cache.store((*entry, self._step), tensors, planned.frees, activated=activated)

    def _note(self, entry: Entry, spec: Any) -> None:
        """Remember the form of a slot's output, as it is where a batch is whole."""
        self._outputs[entry] = with_batch(spec, lambda size: 2 * size) if self.guided.halved else spec

    def _form(self, entry: Entry) -> Any:
        spec = self._outputs[entry]
        return with_batch(spec, lambda size: size // 2) if self.guided.halved else spec

    @property
    def _halves(self) -> Halves:
        assert self.guided.halves is not None
        return self.guided.halves

    def _used(self, entry: Entry, planned: Planned) -> list[torch.Tensor]:
        """The tensors that stand for an output: those that are cached, or forecasts of memory of their own."""
        read = self._read(entry, planned)
        if planned.action is Action.REUSE:
            return read[0]
        return [forecast(last, before, planned.coefficients) for last, before in zip(*read, strict=True)]

    def _scales(self, block: Block, step: Step, row: Row, device: torch.device) -> list[Any]:
        """The coefficients of forecasts as the function of a step takes them."""
        if not step.forecasts:
            return []
        if not self._functions.compiles:
            return [number for place in step.forecasts for number in row.planned[place].coefficients]
        if device not in self._tables:
            # With 16 bytes for each slot: compiled functions copy tensors that begin elsewhere.
            padded = np.pad(self._coefficients, ((0, 0), (0, 0), (0, 2)))
            with torch.inference_mode(mode=False):  # in one kind of tensors, whoever comes first
                self._tables[device] = torch.from_numpy(padded).to(device)
        return [self._tables[device][self._step, block.first : block.first + len(block.components)]]

    def _bypassed(self) -> CacheStateError:
        return CacheStateError(
            f"The transformer's forward was replaced after the schedule was applied, so that step {self._step} cannot "
            "be skipped; remove the handle and apply the schedule again."
        )

    def _owned(self, block: Block, tensors: Sequence[torch.Tensor]) -> frozenset[int]:
        """Which arguments the block before has given for this one alone, in memory that nothing else sees."""
        if not self._before or not block.chain or torch.is_grad_enabled() or block.module._forward_pre_hooks:
            return frozenset()
        before = {id(tensor) for tensor in self._before}
        return frozenset([number for number, tensor in enumerate(tensors) if id(tensor) in before])

    def _record(
        self, index: int, block: Block, spec: Signature, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        result, recording = record(block, forward, args, kwargs, self._slot_visit(block, self._rows.blocks[index]))
        if isinstance(recording, str):
            self._functions.blocks[block.module][spec] = self.unrecorded[block.path] = recording
        else:
            self._functions.blocks[block.module][spec] = self._functions.program(spec, recording)
        return result

    def _run_whole(
        self, block: Block, row: Row, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the block's own forward, with something else in the place of slots that are reused."""
        with visited_slots(block, self._slot_visit(block, row)):
            return forward(*args, **kwargs)

    def _slot_visit(self, block: Block, row: Row) -> Visit:
        """What to do in the place of the block's slots."""

        def kept(tensor: torch.Tensor) -> torch.Tensor:
            # A block that nobody has looked at may write to what its slots give.
            return tensor if block.whole is None else tensor.clone()

        def visit(call: SlotCall, compute: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Output:
            place, number = call
            entry = (block.first + place, number)
            planned = row.planned[place]
            if planned.action in _FRESH:
                output: Output = compute(*args, **kwargs)
                spec, tensors = flatten(output)
                self._note(entry, spec)
                self._noted.pop(block.path, None)
                if planned.action is Action.STORE:
                    self._store(entry, list(map(kept, tensors)), planned)
                return output
            spec = self._form(entry)
            if any(self.cache.is_activated((*entry, source)) for source in planned.sources):
                raise CacheStateError(
                    f"Something was hooked to {block.path} in the middle of a run under a schedule; do so between runs."
                )
            if planned.action is Action.SKIP:
                # Nobody reads it: zeros of its shape, which take no memory.
                blank: Output = build_like(spec, lambda shape, **kind: torch.zeros(1, **kind).expand(shape))
                return blank
            cached: Output = rebuild(spec, list(map(kept, self._used(entry, planned))))
            return cached

        return visit
