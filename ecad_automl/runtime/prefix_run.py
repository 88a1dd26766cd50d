"""Runs that begin with the same steps as others do not do them again.

A run is followed step by step. The key of a step is a digest of all that its output depends on: what every step up to
it does in each slot, and what the transformer was given in each, bit for bit. A step whose key is known is not run; at
the first one that is not, the run goes on from the outputs that were kept with the last one. While a run is followed,
the last outputs of the transformer are kept: schedules that compute or skip whole steps need nothing else to go on from
there. As long as it has yet to use outputs of slots, those of all slots are kept too, so that any other schedule can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from ecad_automl.runtime.blocks import Block, Forward
from ecad_automl.runtime.cache import OutputKey
from ecad_automl.runtime.plan import Plan
from ecad_automl.runtime.prefixes import Fingerprints, Prefix, Prefixes, Source
from ecad_automl.runtime.program import Functions
from ecad_automl.runtime.scheduled import Keep, ScheduledRun
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.runtime.structure import OpaqueValueError, flatten

_CONSTANTS = (bool, int, float, str, type(None))


@dataclass
class _Branch:
    """A guidance branch of a run that is followed.

    Args:
        key: of the last step.
        given: what the transformer gets.
        last: the last call, if it was not made.
        keeps_slots: whether the outputs of all slots are kept, as long as they are not too much.
        calls: how many the key tells of.
        repeatable: whether there was no more to this call than its output.
    """

    key: bytes
    given: Fingerprints = field(default_factory=Fingerprints)
    last: Prefix | None = None
    keeps_slots: bool = True
    calls: int = 0
    repeatable: bool = False


class PrefixRun:
    """A visitor of transformer calls that leaves out those of a :class:`ScheduledRun` that another run has made."""

    def __init__(self, run: ScheduledRun, functions: Functions, prefixes: Prefixes) -> None:
        self._found = False  # whether this call is one of those
        self._run, self._functions, self._prefixes = run, functions, prefixes
        self._branches: dict[ContextKey, _Branch] = {}
        self._shares = False  # in this run
        self._call: Call | None = None

    def take(self, plan: Plan, transformers: Sequence[nn.Module]) -> None:
        """From now on, follow runs by that plan, which the run has taken."""
        self._transformers = transformers
        self._device = next(transformers[0].parameters()).device
        self._last_read, self._macs, self._slots, self._skips = plan.last_read, plan.macs, plan.slots, plan.skips
        # From there on the outputs of no slot are used.
        self._until_slots = int(plan.last_read[:, : plan.slots].max(initial=-1))
        self._work = [work + bytes([plan.computes_all]) for work in plan.work]
        #: From there on runs share nothing: outputs are made of those of other calls.
        alone = plan.guidance.alone
        self._until = int(alone.argmax()) if alone.any() else len(alone)

    # As a visitor:

    @property
    def skipped(self) -> bool:
        """Whether no block is visited in this call."""
        return self._found or self._run.skipped

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        self._call = call
        self._found = False
        if call.new_run:
            self._branches.clear()
            self._shares = self._prefixes.take_model(self._transformers, self._functions)
        if call.step == 0 and self._shares:
            self._branches[call.context] = _Branch(repr((call.context, *_settings())).encode())
        self._run.begin(call)

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a block."""
        output = self._run.visit(index, block, forward, args, kwargs)
        call = self._call
        branch = None if call is None else self._branches.get(call.context)
        if call is not None and branch is not None and branch.keeps_slots:
            branch.keeps_slots = self._run.cache.nbytes <= self._prefixes.limit
            if not branch.keeps_slots:  # what is left of this call need not be kept
                self._run.keep(call.step, Keep.WHOLE)
                if call.step == 0:
                    self._prefixes.refuse_slots(branch.key)
        return output

    def end(self, call: Call) -> None:
        """The transformer call has come to its end."""
        branch = self._branches.get(call.context)
        if branch is not None and branch.last is None and not self._add(call, branch):
            self._stop(call.context, call.step)
        self._run.end(call)

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        """Forget all recordings."""
        self._run.modules_changed(parts)

    def drop(self) -> None:
        """Forget the run. What is shared stays: it is of calls that have come to their end."""
        self._run.drop()
        self._branches.clear()
        self._call = None

    # In place of the transformer's forward:

    def forward(self, _index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a transformer call."""
        call = self._call
        forward = partial(self._run.forward, 0, forward)
        if call is None:
            return forward(args, kwargs)
        branch = self._branches.get(call.context)
        if branch is not None and not self._advance(call, branch, args, kwargs):
            self._stop(call.context, call.step - 1)
            branch = None
        prefix = self._prefixes.find(branch.key, self._needed(call.step)) if branch is not None else None
        self._prefixes.count(self._macs[call.step], shared=prefix is not None)
        if branch is None:
            return forward(args, kwargs)
        if prefix is None:
            return self._compute(call, branch, forward, args, kwargs)
        branch.last = prefix
        self._found = True
        entry = (self._slots, 0)
        result = self._run.made(prefix.whole[*entry, call.step], prefix.forms[entry])
        self._run.guided.take_result(args, kwargs, result)
        return result

    def _advance(self, call: Call, branch: _Branch, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Make the key that of this call; False where it cannot be told."""
        if branch.calls != call.step or call.step >= self._until:  # an earlier call did not come here
            return False
        branch.calls += 1
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"):
            return False
        try:
            given = branch.given.of(*flatten((args, kwargs)))
        except OpaqueValueError:
            return False
        if given is None:
            return False
        done = self._work[call.step] + bytes([call.transformer])
        branch.key = hashlib.blake2b(branch.key + done + given, digest_size=32).digest()
        return True

    def _compute(
        self,
        call: Call,
        branch: _Branch,
        forward: Callable[[tuple[Any, ...], dict[str, Any]], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """A call that nobody has made, which others may use."""
        branch.keeps_slots &= call.step < self._until_slots and self._prefixes.may_hold_slots(branch.key)
        self._go_on(call.context, branch, call.step - 1)
        self._run.keep(call.step, Keep.EVERYTHING if branch.keeps_slots else Keep.WHOLE)
        before = _random_states(self._device)
        result = forward(args, kwargs)
        branch.repeatable = (
            all(map(torch.equal, before, _random_states(self._device)))
            and branch.given.unchanged()
            and all(isinstance(leaf, (torch.Tensor, *_CONSTANTS)) for leaf in tree_leaves(result))
        )
        return result

    def _add(self, call: Call, branch: _Branch) -> bool:
        """Have others use a call that was made; False where the run need not be followed any further."""
        if call.step == len(self._work) - 1 or not branch.repeatable:
            return False
        if self._skips[call.step]:  # it is made again as quickly as it is found
            return True
        kept = self._run.cache.outputs(call.context)
        whole = {key: value for key, value in kept.items() if key[0] == self._slots}
        slots = {key: value for key, value in kept.items() if key[0] < self._slots} if branch.keeps_slots else {}
        prefix = Prefix(call.step, whole, slots, dict(self._run.outputs))
        is_held, slots_are = self._prefixes.add(branch.key, prefix)
        branch.keeps_slots &= slots_are
        if is_held and not branch.keeps_slots:
            self._free(call.context, call.step, whole=False)
        return is_held

    def _needed(self, step: int) -> set[Source]:
        """What is used after a step of all that was kept up to it."""
        sources, entries = np.nonzero(self._last_read[: step + 1, : self._slots + 1] > step)
        return set(zip(entries.tolist(), sources.tolist(), strict=True))

    def _go_on(self, context: ContextKey, branch: _Branch, step: int) -> None:
        """Go on from a call that was not made, of that step."""
        if branch.last is not None:
            self._run.restore(context, {**branch.last.whole, **branch.last.slots}, branch.last.forms)
            branch.last = None
            if not branch.keeps_slots:
                self._free(context, step, whole=False)

    def _stop(self, context: ContextKey, step: int) -> None:
        """Follow the run no more, and free what it does not read after a step."""
        self._go_on(context, self._branches.pop(context), step)
        if step >= 0:
            self._free(context, step, whole=True)

    def _free(self, context: ContextKey, step: int, *, whole: bool) -> None:
        """Free what the run does not read after a step; where others need them not the outputs of the transformer."""

        def is_needed(key: OutputKey) -> bool:
            return bool(self._last_read[key[2], key[0]] > step) or (key[0] == self._slots and not whole)

        self._run.cache.free(context, is_needed)


def _settings() -> tuple[object, ...]:
    """Settings of PyTorch that the bits of an output depend on."""
    return torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.is_inference_mode_enabled()


def _random_states(device: torch.device) -> list[torch.Tensor]:
    """The states of the generators that a transformer on that device may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states
