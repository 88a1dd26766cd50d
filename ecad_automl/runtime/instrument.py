"""Following a pipeline's transformer calls, block by block: what schedules and drift measurement share."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import torch
from diffusers.utils.torch_utils import is_compiled_module
from torch import nn

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.runtime.blocks import Block, Forward, blocks_of, parts_of
from ecad_automl.runtime.cache import tensors_in
from ecad_automl.runtime.families import Component, Family, family_of
from ecad_automl.runtime.hooks import ContextName, ForwardHook, VisitModule, attach, is_held
from ecad_automl.runtime.steps import Call, OtherThreadError, Shapes, StepTracker

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


class Visitor(Protocol):
    """What is done in the transformer calls of a pipeline."""

    @property
    def skipped(self) -> bool:
        """Whether the transformer was not entered in this call, so that no block was visited."""

    def begin(self, call: Call) -> None:
        """A transformer call begins."""

    def visit(self, index: int, block: Block, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Give the output of the block number ``index``, whose own computation is ``forward(*args, **kwargs)``."""

    def end(self, call: Call) -> None:
        """The transformer call has come to its end, with each block visited once."""

    def modules_changed(self, parts: tuple[object, ...]) -> None:
        """Modules were replaced or hooked since the last run, as by loading a LoRA: these are all parts now."""

    def drop(self) -> None:
        """Forget everything held: a run begins, was broken off, or is over."""


class Instrument:
    """Puts a visitor in the place of all blocks of a pipeline's transformer, or of both of a pair, until removed.

    Args:
        pipe: a diffusers pipeline.
        visitor: what to do.
        steps: number of denoising steps that each run must have.
        needed_by: what needs that number, for error messages.
        others: further modules, each with what is to be called in place of its forward.
        told: called with the named arguments of each transformer call, when it begins.
        late: is told of each run how many steps it leaves out at its beginning; None where it must leave out none.

    Raises:
        UnsupportedModelError: the pipeline has no transformer, or one that is not supported, or no scheduler.
        CacheStateError: the transformer is already instrumented, or caches by diffusers' means.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        visitor: Visitor,
        steps: int,
        needed_by: str,
        others: Sequence[tuple[nn.Module, VisitModule]] = (),
        told: Callable[[Mapping[str, Any]], None] | None = None,
        late: Callable[[int], None] | None = None,
    ) -> None:
        self._told, self._late = told, late
        self.transformers = transformers_of(pipe)
        self._refused = check_pipeline(pipe).refused_arguments
        self._blocks = tuple(map(blocks_of, self.transformers))
        for block in chain(*self._blocks):
            if is_compiled_module(block.module):
                raise UnsupportedModelError(
                    f"{block.path} is wrapped by torch.compile; compile it in place instead, by its compile()."
                )
        self._parts = parts_of(self.transformers)
        self._visitor = visitor
        self._tracker = StepTracker(pipe, steps, needed_by, late=late is not None)
        self._context = ContextName()
        self._lock = threading.Lock()
        self._owner: threading.Thread | None = None  # the thread that is in a transformer call
        self._call: Call | None = None
        self._visited: set[int] = set()  # blocks, in this transformer call
        if is_held(block.module for block in chain(*self._blocks)):
            raise CacheStateError(
                "This transformer is already under a schedule or being measured; remove that handle first."
            )
        self._refuse_other_caches()
        self._installed = self._install(others)

    def remove(self) -> None:
        """Take everything off the transformer; a second time does nothing."""
        self._installed.close()
        self._forget()

    def expect(self, steps: int) -> None:
        """Forget the run; from the next one on, runs must have that number of denoising steps."""
        self._tracker.steps = steps
        self._forget()

    def __enter__(self) -> Instrument:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _install(self, others: Sequence[tuple[nn.Module, VisitModule]]) -> ExitStack:
        hooked: list[tuple[nn.Module, ForwardHook]] = []
        for blocks in self._blocks:
            hooks = [ForwardHook(0, self._visit, self._context, self._forget)]
            hooks += [ForwardHook(index, self._visit) for index in range(1, len(blocks))]
            hooked += [(block.module, hook) for block, hook in zip(blocks, hooks, strict=True)]
        hooked += [(module, ForwardHook(index, visit)) for index, (module, visit) in enumerate(others)]
        with attach(self.transformers, hooked) as stack:
            # The transformer call itself is bracketed by PyTorch's hooks and not by a replaced forward, which
            # enable_model_cpu_offload would put back at the end of each pipeline call.
            for number, transformer in enumerate(self.transformers):
                pre = transformer.register_forward_pre_hook(partial(self._enter, number), with_kwargs=True)
                stack.callback(pre.remove)
                post = transformer.register_forward_hook(self._leave, always_call=True)
                stack.callback(post.remove)
            return stack.pop_all()

    # There is nothing to compile in our hooks, and tracing them takes long.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enter(self, number: int, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        check_arguments(self._refused, kwargs)
        thread = threading.current_thread()
        with self._lock:
            if self._owner is not None and self._owner is not thread and self._owner.is_alive():
                raise CacheStateError(
                    f"The transformer is running in the thread {self._owner.name!r}; under a schedule, only one thread "
                    "at a time can run it."
                )
            broken_off = self._owner is not None  # by an exception that PyTorch does not tell hooks about
            self._owner = thread
        try:
            if broken_off:
                self._forget()
            self._call = call = self._tracker.locate(self._context.name, _shapes(args, kwargs), number)
            if call.new_run:
                self._visitor.drop()
                self._check_modules()
                if self._late is not None:
                    self._late(call.left_out)
            self._visitor.begin(call)
            if self._told is not None:
                self._told(kwargs)
            self._visited.clear()
        except OtherThreadError:
            self._owner = None
            raise
        except BaseException:
            self._forget()
            self._owner = None
            raise

    def _visit(self, index: int, forward: Forward, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._call
        block = self._blocks[0 if call is None else call.transformer][index]
        if call is None:
            raise CacheStateError(
                f"{block.path} of a transformer under a schedule was called on its own; call the transformer itself."
            )
        if index in self._visited:
            raise CacheStateError(
                f"{block.path} was called twice in one transformer call; gradient checkpointing and other caches "
                "cannot be combined with a schedule."
            )
        self._visited.add(index)
        return self._visitor.visit(index, block, forward, args, kwargs)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _leave(self, _module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        if self._owner is not threading.current_thread():
            return  # a call that was refused since another thread is in the transformer
        call, self._call = self._call, None
        try:
            if output is None or call is None:  # the forward raised
                self._forget()
            else:
                self._finish(call)
        except BaseException:
            self._forget()
            raise
        finally:
            self._owner = None

    def _finish(self, call: Call) -> None:
        count = len(self._blocks[0])
        if not self._visitor.skipped and len(self._visited) != count:
            raise CacheStateError(
                f"Only {len(self._visited)} of the {count} blocks of the transformer were called; layers "
                "that are left out and other caches cannot be combined with a schedule."
            )
        self._visitor.end(call)

    def _forget(self) -> None:
        self._call = None
        self._tracker.forget()
        self._visitor.drop()

    def _check_modules(self) -> None:
        """What is patched must still be what the transformer runs."""
        self._refuse_other_caches()
        parts = parts_of(self.transformers)
        if len(parts) == len(self._parts) and all(map(operator.is_, parts, self._parts)):
            return
        now = chain(*map(blocks_of, self.transformers))
        if [_identity(block) for block in now] != [_identity(block) for block in chain(*self._blocks)]:
            raise CacheStateError(
                "Blocks of the transformer were replaced after the schedule was applied; remove the handle and apply "
                "the schedule again."
            )
        self._parts = parts
        self._visitor.modules_changed(parts)

    def _refuse_other_caches(self) -> None:
        for transformer in self.transformers:
            if getattr(transformer, "is_cache_enabled", False):
                raise CacheStateError(
                    "The transformer has a cache of diffusers enabled; call transformer.disable_cache() first."
                )
            if "_is_cached" in vars(transformer):  # cache-dit's own mark
                raise CacheStateError(
                    "The transformer has cache-dit enabled; call cache_dit.disable_cache(pipe) first."
                )


def _identity(block: Block) -> tuple[int, str, tuple[Component, ...]]:
    return id(block.module), block.path, block.components


def transformer_of(pipe: DiffusionPipeline) -> nn.Module:
    """The transformer of a pipeline that has also a scheduler.

    Raises:
        UnsupportedModelError: it has not both.
    """
    transformer = getattr(pipe, "transformer", None)
    if transformer is None and getattr(pipe, "unet", None) is not None:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has a UNet, not supported: schedules are for diffusion transformers, such as FLUX, "
            "SD 3.5, PixArt, Qwen-Image or Wan."
        )
    if transformer is None and isinstance(getattr(pipe, "transformer_2", None), nn.Module):
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has its second transformer alone, not supported; load the first one too, or give "
            "the second as `transformer`, with no `boundary_ratio`."
        )
    if not isinstance(transformer, nn.Module) or getattr(pipe, "scheduler", None) is None:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has no transformer and scheduler; a diffusers pipeline with both is needed."
        )
    return transformer


def transformers_of(pipe: DiffusionPipeline) -> tuple[nn.Module, ...]:
    """The transformer of a pipeline, or both where two take the steps in turns, as in Wan 2.2.

    Raises:
        UnsupportedModelError: it has no transformer and scheduler, or two that differ in more than their weights.
    """
    first, second = transformer_of(pipe), getattr(pipe, "transformer_2", None)
    if not isinstance(second, nn.Module):
        return (first,)
    one, other = _form(first), _form(second)
    if one != other:
        name = next(name for name in {**one, **other} if one.get(name) != other.get(name))
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has two transformers, of the {name} {one.get(name)} and {other.get(name)}; a "
            "schedule is for two that differ in their weights alone."
        )
    return first, second


def _form(transformer: nn.Module) -> dict[str, Any]:
    """What a transformer was made of, beside its weights."""
    config: Mapping[str, Any] = getattr(transformer, "config", {})
    told = {name: value for name, value in config.items() if name[0] != "_" and name != "quantization_config"}
    return {"class": type(transformer).__name__, **told}


def check_pipeline(pipe: DiffusionPipeline) -> Family:
    """The family of a pipeline that can be run under a schedule.

    Raises:
        UnsupportedModelError: the family of its transformer knows a reason why it cannot.
    """
    family = family_of(transformers_of(pipe)[0])
    refused = (family.refused_pipelines.get(kind.__name__) for kind in type(pipe).__mro__)
    reason = next(filter(None, refused), None) or (family.why_not(pipe) if family.why_not else None)
    if reason is not None:
        raise UnsupportedModelError(f"{type(pipe).__name__} cannot be run under a schedule: {reason}.")
    return family


def check_arguments(refused: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    """Whether a transformer is called with an argument that its family refuses.

    Raises:
        UnsupportedModelError: it is.
    """
    for name, reason in refused.items():
        if arguments.get(name) is not None:
            raise UnsupportedModelError(f"A run with {name!r} cannot be under a schedule: {reason}.")


def _shapes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shapes:
    values: tuple[tuple[int | str, object], ...] = (*enumerate(args), *kwargs.items())
    shapes = {key: tuple(tuple(tensor.shape) for tensor in tensors_in(value)) for key, value in values}
    return {key: found for key, found in shapes.items() if found}
