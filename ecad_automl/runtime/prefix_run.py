"""Runs that begin with the same steps as others do not do them again.

A run is followed step by step. The key of a step is a digest of all that its output depends on: what every step up to
it does in each slot, and what the transformer was given in each, bit for bit. While it is followed, nothing is freed
and everything is kept, so that any other schedule can go on from there. A step whose key is known is not run; at the
first one that is not, the run goes on from the outputs that were kept with the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from ecad_automl.runtime.blocks import Block, Forward
from ecad_automl.runtime.plan import Plan
from ecad_automl.runtime.prefixes import Fingerprints, Prefix, Prefixes
from ecad_automl.runtime.program import Functions
from ecad_automl.runtime.scheduled import ScheduledRun
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
        fits: whether everything that this call has kept so far is not too much.
        calls: how many the key tells of.
        result: what the transformer gave in this call, if it was made.
    """

    key: bytes
    given: Fingerprints = field(default_factory=Fingerprints)
    last: Prefix | None = None
    fits: bool = True
    calls: int = 0
    result: Any = None


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
        self._last_read, self._macs = plan.last_read, plan.macs
        told = f"{plan.computes_all}{self._run.guided.depth if self._run.guided.acts else ''}"
        self._rows = [f"{rows!r}{told}".encode() for rows in self._run.keeping]
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
        if call is not None and branch is not None and branch.fits:
            branch.fits = self._run.cache.nbytes <= self._prefixes.limit
            if not branch.fits:  # what is left of this call need not be kept
                self._run.keep(call.step, everything=False)
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
        prefix = self._prefixes.find(branch.key) if branch is not None else None
        self._prefixes.count(self._macs[call.step], shared=prefix is not None)
        if branch is None:
            return forward(args, kwargs)
        if prefix is None:
            return self._compute(call, branch, forward, args, kwargs)
        branch.last = prefix
        self._found = True
        self._run.guided.note(prefix.result)
        return _cloned(prefix.result)

    def _advance(self, call: Call, branch: _Branch, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Make the key that of this call; False where it cannot be told, or where its step is known not to fit."""
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
        done = self._rows[call.step] + bytes([call.transformer])
        branch.key = hashlib.blake2b(branch.key + done + given, digest_size=32).digest()
        return self._prefixes.fits(branch.key)

    def _compute(
        self,
        call: Call,
        branch: _Branch,
        forward: Callable[[tuple[Any, ...], dict[str, Any]], Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """A call that nobody has made, which others may use."""
        self._go_on(call.context, branch)
        self._run.keep(call.step, everything=True)
        branch.fits = True
        before = _random_states(self._device)
        result = forward(args, kwargs)
        if not all(map(torch.equal, before, _random_states(self._device))) or not branch.given.unchanged():
            branch.fits = False  # there was more to it than the output
        elif all(isinstance(leaf, (torch.Tensor, *_CONSTANTS)) for leaf in tree_leaves(result)):
            branch.result = _cloned(result)
        return result

    def _add(self, call: Call, branch: _Branch) -> bool:
        """Have others use a call that was made; False where the run need not be followed any further."""
        result, branch.result = branch.result, None
        if call.step == len(self._rows) - 1:
            return False
        if not branch.fits and call.step == 0:
            self._prefixes.refuse(branch.key)
        if result is None or not branch.fits:
            return False
        cached = self._run.cache.outputs(call.context)
        return self._prefixes.add(branch.key, Prefix(call.step, result, cached, dict(self._run.outputs)))

    def _go_on(self, context: ContextKey, branch: _Branch) -> None:
        """Go on from a call that was not made."""
        if branch.last is not None:
            self._run.restore(context, branch.last.cached, branch.last.outputs)
            branch.last = None

    def _stop(self, context: ContextKey, step: int) -> None:
        """Follow the run no more, and free what it does not read after a step."""
        self._go_on(context, self._branches.pop(context))
        if step >= 0:
            self._run.cache.free(context, lambda key: bool(self._last_read[key[2], key[0]] > step))


def _settings() -> tuple[object, ...]:
    """Settings of PyTorch that the bits of an output depend on."""
    return torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.is_inference_mode_enabled()


def _random_states(device: torch.device) -> list[torch.Tensor]:
    """The states of the generators that a transformer on that device may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def _cloned(result: Any) -> Any:
    """A result in memory of its own, since pipelines may write to what they are given."""
    return tree_map_only(torch.Tensor, torch.clone, result)
