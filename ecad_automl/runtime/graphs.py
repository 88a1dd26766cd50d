"""Transformer calls under a schedule as CUDA graphs: one for each pattern of what is computed, kept and reused.

A schedule is static, so the calls of a run are of few kinds, and within a kind all calls do the same work on other
numbers. The first call of a kind runs as always, in which blocks are recorded and memory is laid out; the second is
captured; from then on the work is replayed without any Python of the model.

What makes this safe:

- Whatever one call leaves for another (arguments, cached outputs, kept text) lies in memory of its own, outside of the
  pool that all graphs share, and stays there. Within the pool only the output outlives a replay, and it is cloned.
- What Python decides is part of the key of a graph (pattern, guidance branch, which kept text holds, constants among
  the arguments) or watched: modules, their attributes and where weights lie, before every run; the latter before every
  call too. A call that differs in the middle of a run is run as always, on the same cached outputs.
- What can be seen to be lost in a replay (hooks, random numbers, writes to arguments) is not captured at all.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_map_only

from ecad_automl.errors import CudaGraphsWarning, ScheduleError
from ecad_automl.runtime.blocks import Block, Forward
from ecad_automl.runtime.branch import Branch, Graph
from ecad_automl.runtime.buffers import SlotBuffers, StaticInputs
from ecad_automl.runtime.capture import Capturer
from ecad_automl.runtime.outside import Outside
from ecad_automl.runtime.plan import Action
from ecad_automl.runtime.scheduled import ScheduledRun
from ecad_automl.runtime.state import ModuleState, why_not_capturable
from ecad_automl.runtime.steps import Call, ContextKey
from ecad_automl.runtime.structure import OpaqueValueError, Spec, flatten, rebuild

__all__ = ["GraphReport", "GraphedRun", "cloned", "device_for_graphs", "random_states"]

# Kept text holds, or it does not; in between only where the text changes in the middle of a run.
_TEXT_STATES = 2

# Attributes may settle in the first calls, as tables that are made when they are first needed.
_MAX_UNSETTLED = 8

_CHANGED = (
    "the transformer's arguments are of other shapes, types or constants than those of its graphs; apply the schedule "
    "anew to have graphs of these"
)


@dataclass(frozen=True)
class GraphReport:
    """What has become of CUDA graphs under a handle.

    Args:
        captured: how many graphs there are.
        replays: how many transformer calls were replays.
        nbytes: bytes of arguments, cached outputs and text that are held for graphs; their own pool is not counted.
        why_not: why calls were run without graphs, each reason once, in the order in which they came up.
    """

    captured: int
    replays: int
    nbytes: int
    why_not: tuple[str, ...]


class GraphedRun:
    """A visitor of transformer calls that captures and replays those of a :class:`ScheduledRun`.

    Args:
        run: what is done in a call.
        transformer: the transformer.
        capturer: makes graphs.
        device: of the transformer.
    """

    def __init__(self, run: ScheduledRun, transformer: nn.Module, capturer: Capturer, device: torch.device) -> None:
        #: Told whether the blocks count as visited in this call: all, or none.
        self.count_blocks: Callable[[bool], None] = lambda _visited: None
        self._run, self._transformer, self._capturer, self._device = run, transformer, capturer, device
        self._ordinary = run.cache, run.text
        self._patterns = _patterns(run.plan)
        self._branches: dict[ContextKey, Branch] = {}
        self._active: set[ContextKey] = set()  # branches that go by graphs in this run
        self._call: Call | None = None
        self._state: ModuleState | None = None
        self._unsettled = 0
        self._off: str | None = None  # why nothing is captured any more, until the modules change
        self._why_not: dict[str, str] = {}  # by kind
        self._replays = 0

    def report(self) -> GraphReport:
        """What has been captured, and why not more."""
        branches = self._branches.values()
        held = sum(branch.inputs.nbytes + branch.slots.nbytes + branch.text.nbytes for branch in branches)
        graphs = sum(len(branch.graphs) for branch in branches)
        return GraphReport(graphs, self._replays, held, tuple(self._why_not.values()))

    def cache_bytes(self) -> int:
        """Bytes of cached outputs."""
        return self._ordinary[0].nbytes + sum(branch.slots.nbytes for branch in self._branches.values())

    def close(self) -> None:
        """Free everything."""
        self.drop()
        self._branches.clear()
        self._state = None

    # As a visitor:

    def begin(self, call: Call) -> None:
        """A transformer call begins."""
        self._call = call
        if call.new_run:
            self._look_at_modules()
        self._run.begin(call)

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a block."""
        return self._run.visit(index, block, forward, args, kwargs)

    def end(self, call: Call) -> None:
        """The transformer call has come to its end."""
        self._run.end(call)
        self._run.use(*self._ordinary)
        if call.step == len(self._patterns) - 1 and call.context in self._active:
            self._active.discard(call.context)
            self._branches[call.context].end_run()

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        """Forget all recordings; graphs are seen to at the beginning of the run."""
        self._run.modules_changed(parts)

    def drop(self) -> None:
        """Forget the run. Buffers stay, with nothing in them that is read again."""
        self._run.use(*self._ordinary)
        self._run.drop()
        self._active.clear()
        self._call = None
        for branch in self._branches.values():
            branch.end_run()

    # In place of the transformer's forward:

    def forward(self, _index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output of a transformer call."""
        call = self._call
        if call is None:
            return forward(*args, **kwargs)
        try:
            spec, tensors = flatten((args, kwargs))
        except OpaqueValueError as error:
            spec, tensors = None, []
            reason: tuple[str, str] | None = ("opaque", f"the transformer gets {error}")
        else:
            reason = self._why_not_now(tensors)
        if call.step == 0:
            self._start_branch(call.context, spec, tensors, reason)
        if call.context not in self._active:
            return forward(*args, **kwargs)
        branch = self._branches[call.context]
        self._run.use(branch.slots, branch.text)
        self._run.begin(call)
        if reason is None and spec != branch.spec:
            reason = "arguments", _CHANGED
        if reason is not None:
            self._tell(*reason)
        if reason is not None or self._off is not None or not self._weights_in_place():
            return cloned(forward(*args, **kwargs))
        return self._work(call, branch, forward, tensors)

    def _work(self, call: Call, branch: Branch, forward: Forward, tensors: list[torch.Tensor]) -> Any:
        """A call by its graph, or on the way to one."""
        branch.drop_misplaced()
        text = branch.text
        text.invalidate(branch.inputs.fill(tensors))
        text.call(branch.inputs)

        def run() -> Any:
            # Made anew each time, since some forwards empty the lists they are given.
            args, kwargs = rebuild(branch.spec, branch.inputs.tensors)
            return forward(*args, **kwargs)

        pattern = self._patterns[call.step]
        asked = branch.asked.get(pattern)
        if asked is None:
            return self._warm_up(branch, pattern, run)
        key = pattern, asked & text.valid
        graph = branch.graphs.get(key)
        if graph is None:
            if sum(other == pattern for other, _ in branch.graphs) < _TEXT_STATES:
                graph = self._capture(call, branch, run)
            if graph is None:
                return cloned(run())
            branch.graphs[key] = graph
        else:
            self.count_blocks(True)
            text.valid |= asked
        graph.captured.replay()
        self._replays += 1
        return cloned(graph.captured.result)

    def _warm_up(self, branch: Branch, pattern: int, run: Callable[[], Any]) -> Any:
        generators = random_states(self._device)
        result = cloned(self._capturer.warm_up(run))
        branch.drop_misplaced()
        whole = next(iter(self._run.unrecorded.items()), None)
        if whole is not None:
            self._switch_off("whole", f"{whole[0]} has to be run whole, since {whole[1]}")
        elif not all(map(torch.equal, generators, random_states(self._device))):
            self._switch_off("random", "the transformer draws random numbers")
        elif branch.inputs.changed() or branch.text.changed():
            self._switch_off("writes", "the transformer writes to its arguments")
        elif self._settled():
            branch.asked[pattern] = frozenset(branch.text.asked)
        return result

    def _capture(self, call: Call, branch: Branch, run: Callable[[], Any]) -> Graph | None:
        """The graph of this call; None where none can be made, with everything as it was before."""
        valid = set(branch.text.valid)
        branch.slots.fixed = branch.text.fixed = True
        outside = Outside(self._known_memory(branch))

        def watched() -> Any:
            if self._run.compiles:  # compiled functions do not run under a mode
                return run()
            with outside:
                return run()

        try:
            captured = self._capturer.capture(watched)
        except Exception as error:  # noqa: BLE001 - if it is not of the capture, it comes again at once
            branch.text.valid = valid
            self.count_blocks(False)
            self._run.begin(call)
            message = str(error).strip().partition("\n")[0]
            self._switch_off("capture", f"capturing failed ({type(error).__name__}: {message})")
            return None
        finally:
            branch.slots.fixed = branch.text.fixed = False
        return Graph(captured, outside.held)

    def _start_branch(
        self, context: ContextKey, spec: Spec, tensors: list[torch.Tensor], reason: tuple[str, str] | None
    ) -> None:
        """Decide whether a guidance branch goes by graphs in this run."""
        branch = self._branches.get(context)
        if self._off is not None:
            return
        if reason is None and branch is not None and branch.spec != spec:
            if branch.graphs:
                reason = "arguments", _CHANGED
            else:
                branch = None  # nothing lost
        if reason is not None:
            self._tell(*reason)
            return
        if branch is None:
            slots = SlotBuffers(self._ordinary[0].dtype)
            slots.begin(context)
            self._branches[context] = Branch(spec, StaticInputs(tensors), slots)
        self._active.add(context)

    def _why_not_now(self, tensors: list[torch.Tensor]) -> tuple[str, str] | None:
        """Why this call cannot be captured or replayed, with the kind of the reason; None where it can."""
        kind = self._device.type
        if torch.is_grad_enabled():
            return "grad", "gradients are being recorded"
        if torch.is_autocast_enabled(kind):
            # Weights in another type would be read from where autocast keeps them for a while only.
            return "autocast", "autocast is on"
        if _get_current_dispatch_mode() is not None:
            return "mode", "a TorchDispatchMode is on, which would see nothing of a replay"
        elsewhere = next((tensor for tensor in tensors if tensor.device != self._device), None)
        if elsewhere is not None:
            return "device", f"the transformer gets a tensor on {elsewhere.device}, and is on {self._device}"
        return None

    def _look_at_modules(self) -> None:
        """Before a run: what was captured of other modules, or with other attributes, is void."""
        state = ModuleState(self._transformer)
        if state != self._state:
            self._state = state
            self._branches.clear()
            self._off = None
            self._unsettled = 0
        reason = why_not_capturable(self._transformer)
        if reason is not None:
            self._switch_off("modules", reason)
        if self._off is not None:
            self._branches.clear()

    def _weights_in_place(self) -> bool:
        """Whether graphs find the weights where they were; if not, the graphs go."""
        if self._state is not None and self._state.in_place():
            return True
        for branch in self._branches.values():
            branch.drop_graphs()
        return False

    def _settled(self) -> bool:
        """Whether the last call has left the attributes of the modules as they were.

        If not, graphs may read what is gone by now, and calls may differ in what no key tells.
        """
        state = ModuleState(self._transformer)
        if state == self._state:
            return True
        self._state = state
        for branch in self._branches.values():
            branch.drop_graphs()
        self._unsettled += 1
        if self._unsettled > _MAX_UNSETTLED:
            self._switch_off("attributes", "attributes of its modules change from call to call")
        return False

    def _known_memory(self, branch: Branch) -> set[int]:
        assert self._state is not None
        tensors = [*branch.inputs.tensors, *branch.slots.tensors, *branch.text.tensors]
        return self._state.memory() | {tensor.untyped_storage().data_ptr() for tensor in tensors}

    def _switch_off(self, kind: str, reason: str) -> None:
        self._off = reason
        for branch in self._branches.values():
            branch.drop_graphs()
        self._tell(kind, reason)

    def _tell(self, kind: str, reason: str) -> None:
        if kind in self._why_not:
            return
        self._why_not[kind] = reason
        warnings.warn(f"A run goes without CUDA graphs: {reason}.", CudaGraphsWarning, stacklevel=2)


def device_for_graphs(transformer: nn.Module) -> torch.device:
    """The device of a transformer that CUDA graphs are asked for.

    Raises:
        ScheduleError: it is on several.
    """
    found = Counter(tensor.device for tensor in transformer.parameters())
    if len(found) != 1:
        where = ", ".join(map(str, found)) or "none"
        raise ScheduleError(
            f"CUDA graphs need a transformer on one device, but the weights of {type(transformer).__name__} are on "
            f"{where}; move the pipeline with pipe.to('cuda'), or leave cuda_graphs out."
        )
    return next(iter(found))


def _patterns(plan: list[list[tuple[Action, ...]]]) -> list[int]:
    """For each step the number of its pattern. That cached outputs are read for the last time makes no difference."""
    numbers: dict[tuple[tuple[Action, ...], ...], int] = {}
    rows = (
        tuple(tuple(Action.REUSE if action is Action.REUSE_LAST else action for action in row) for row in step)
        for step in plan
    )
    return [numbers.setdefault(step, len(numbers)) for step in rows]


def random_states(device: torch.device) -> list[torch.Tensor]:
    """The states of the generators that a transformer on that device may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def cloned(result: Any) -> Any:
    """A result in memory of its own: that of a graph is overwritten, and that of cached outputs too."""
    return tree_map_only(torch.Tensor, torch.clone, result)
