"""Following a pipeline's transformer calls, component by component: what schedules and drift measurement share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from ecad_automl.errors import CacheStateError, UnsupportedModelError
from ecad_automl.runtime.cache import Output
from ecad_automl.runtime.families import slot_modules
from ecad_automl.runtime.hooks import ContextName, SlotHook, attach, is_held
from ecad_automl.runtime.steps import Call, OtherThreadError, Shapes, StepTracker

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["Instrument", "Visitor"]


class Visitor(Protocol):
    """What is done in the transformer calls of a pipeline."""

    def begin(self, call: Call) -> None:
        """A transformer call begins."""

    def visit(
        self, index: int, forward: Callable[..., Output], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Output:
        """Give the output of the slot number ``index``, whose own computation is ``forward(*args, **kwargs)``."""

    def end(self, call: Call) -> None:
        """The transformer call has come to its end, with each slot visited once and in order."""

    def drop(self) -> None:
        """Forget everything held: a run begins, was broken off, or is over."""


class Instrument:
    """Puts a visitor in the place of all slots of a pipeline's transformer, until removed.

    Args:
        pipe: a diffusers pipeline.
        visitor: what to do.
        steps: number of denoising steps that each run must have.
        needed_by: what needs that number, for error messages.

    Raises:
        UnsupportedModelError: the pipeline has no transformer, or one that is not supported, or no scheduler.
        CacheStateError: the transformer is already instrumented, or caches by diffusers' means.
    """

    def __init__(self, pipe: DiffusionPipeline, visitor: Visitor, steps: int, needed_by: str) -> None:
        self._transformer = transformer_of(pipe)
        self._modules = tuple(module for _, module in slot_modules(self._transformer))
        self._visitor = visitor
        self._tracker = StepTracker(pipe, steps, needed_by)
        self._context = ContextName()
        self._lock = threading.Lock()
        self._owner: threading.Thread | None = None  # the thread that is in a transformer call
        self._call: Call | None = None
        self._next = 0  # the slot that must be visited next
        if is_held(self._modules):
            raise CacheStateError(
                "This transformer is already under a schedule or being measured; remove that handle first."
            )
        self._refuse_other_caches()
        self._installed = self._install()

    def remove(self) -> None:
        """Take everything off the transformer; a second time does nothing."""
        self._installed.close()
        self._forget()

    def __enter__(self) -> Instrument:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _install(self) -> ExitStack:
        hooks = [SlotHook(0, self._visit, self._context, self._forget)]
        hooks += [SlotHook(index, self._visit) for index in range(1, len(self._modules))]
        with attach(self._transformer, zip(self._modules, hooks, strict=True)) as stack:
            # The transformer call itself is bracketed by PyTorch's hooks and not by a replaced forward, which
            # enable_model_cpu_offload would put back at the end of each pipeline call.
            pre = self._transformer.register_forward_pre_hook(self._enter, with_kwargs=True)
            stack.callback(pre.remove)
            post = self._transformer.register_forward_hook(self._leave, always_call=True)
            stack.callback(post.remove)
            return stack.pop_all()

    def _enter(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
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
            self._call = call = self._tracker.locate(self._context.name, _shapes(args, kwargs))
            if call.new_run:
                self._visitor.drop()
                self._check_modules()
            self._visitor.begin(call)
            self._next = 0
        except OtherThreadError:
            self._owner = None
            raise
        except BaseException:
            self._forget()
            self._owner = None
            raise

    def _visit(
        self, index: int, forward: Callable[..., Output], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Output:
        if self._call is None:
            raise CacheStateError(
                "A component of a transformer under a schedule was called on its own; call the transformer itself."
            )
        if index != self._next:
            raise CacheStateError(
                f"Component number {index} of the transformer was called where number {self._next} was expected; "
                "chunked feed-forward, gradient checkpointing and other caches cannot be combined with a schedule."
            )
        self._next = index + 1
        return self._visitor.visit(index, forward, args, kwargs)

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
        if self._next != len(self._modules):
            raise CacheStateError(
                f"Only {self._next} of the {len(self._modules)} components of the transformer were called; other "
                "caches cannot be combined with a schedule."
            )
        self._visitor.end(call)

    def _forget(self) -> None:
        self._call = None
        self._tracker.forget()
        self._visitor.drop()

    def _check_modules(self) -> None:
        """What is patched must still be what the transformer runs."""
        self._refuse_other_caches()
        now = tuple(module for _, module in slot_modules(self._transformer))
        if len(now) != len(self._modules) or any(a is not b for a, b in zip(now, self._modules, strict=True)):
            raise CacheStateError(
                "Components of the transformer were replaced after the schedule was applied, as loading a LoRA does; "
                "remove the handle and apply the schedule again."
            )

    def _refuse_other_caches(self) -> None:
        if getattr(self._transformer, "is_cache_enabled", False):
            raise CacheStateError(
                "The transformer has a cache of diffusers enabled; call transformer.disable_cache() first."
            )


def transformer_of(pipe: DiffusionPipeline) -> nn.Module:
    """The transformer of a pipeline that has also a scheduler.

    Raises:
        UnsupportedModelError: it has not both.
    """
    transformer = getattr(pipe, "transformer", None)
    if not isinstance(transformer, nn.Module) or getattr(pipe, "scheduler", None) is None:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has no transformer and scheduler; a diffusers pipeline with both is needed."
        )
    return transformer


def _shapes(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shapes:
    values: tuple[tuple[int | str, object], ...] = (*enumerate(args), *kwargs.items())
    return {key: tuple(value.shape) for key, value in values if isinstance(value, torch.Tensor)}
