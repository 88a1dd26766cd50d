"""Hooks on modules of a transformer, by diffusers' own registry, that leave nothing behind when removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

import torch
from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.hooks import BaseState, StateManager
from torch import nn

from ecad_automl.errors import CacheStateError

if TYPE_CHECKING:
    # Named so since 0.41; earlier, contexts are strings.
    from diffusers.hooks.hooks import CacheContext

HOOK_NAME = "ecad_automl"

_REGISTRY = "_diffusers_hook"

#: Called in place of a module's forward with the number given to its hook, the forward, and its arguments.
VisitModule = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class ContextName(StateManager):  # type: ignore[misc]
    """The name of the guidance branch that the pipeline is computing, as told by ``transformer.cache_context``."""

    def __init__(self) -> None:
        super().__init__(BaseState)
        self.name: str | None = None

    def set_context(self, context: CacheContext | str | None) -> None:
        """Take the name from what diffusers hands out: a string up to 0.40, an object with a name since."""
        self.name = context if context is None or isinstance(context, str) else str(context.name)

    def reset(self, *_args: object, **_kwargs: object) -> None:
        """Forget the name."""
        self.name = None


class ForwardHook(ModelHook):  # type: ignore[misc]
    """Stands in for the forward of a module.

    Args:
        index: passed on to ``visit``.
        visit: what to call in place of the forward.
        context: where to note the guidance branch; one hook per transformer is enough to hear of it.
        reset: called when diffusers asks stateful hooks to forget their state, at the end of a pipeline call.
    """

    def __init__(
        self,
        index: int,
        visit: VisitModule,
        context: ContextName | None = None,
        reset: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._is_stateful = context is not None
        self._index = index
        self._visit: VisitModule | None = visit
        self._reset = reset
        self.context = context
        #: What the module has as its forward while nothing is wrapped around this.
        self.installed: object = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_copy("A pipeline under a schedule")

    # Uncompiled: a graph would be traced for every step, most of it Python.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def new_forward(self, _module: nn.Module, *args: object, **kwargs: object) -> Any:
        """Replace the module's forward."""
        if self._visit is None:  # removed, but still called by a wrapper that was put around it
            return self.fn_ref.original_forward(*args, **kwargs)
        return self._visit(self._index, self.fn_ref.original_forward, args, kwargs)

    def deinitalize_hook(self, module: nn.Module) -> nn.Module:
        """Become transparent; the name is diffusers'."""
        self._visit = None
        return module

    def reset_state(self, module: nn.Module) -> nn.Module:
        """Forget what the run has left."""
        if self.context is not None:
            self.context.reset()
        if self._reset is not None:
            self._reset()
        return module


def refuse_copy(what: str) -> NoReturn:
    """Say what is to be done before something of ours is copied or pickled.

    Raises:
        CacheStateError: always.
    """
    raise CacheStateError(
        f"{what} cannot be copied or pickled, since its hooks belong to this very object; remove the handle "
        "(handle.remove(), or leave its with block), copy, and apply the schedule to the copy."
    )


def is_held(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules has a hook of ours."""
    return any(HOOK_NAME in registry.hooks for module in modules if (registry := vars(module).get(_REGISTRY)))


def has_only_ours(module: nn.Module) -> bool:
    """Whether nothing stands in for a module's forward, or nothing but one hook of ours, on the class's own."""
    forward = vars(module).get("forward")
    if forward is None or getattr(forward, "__func__", None) is type(module).forward:
        return True
    registry = vars(module).get(_REGISTRY)
    if registry is None or list(registry.hooks) != [HOOK_NAME]:
        return False
    hook = registry.hooks[HOOK_NAME]
    inner = hook.fn_ref.original_forward
    return bool(forward is hook.installed and getattr(inner, "__func__", None) is type(module).forward)


def attach(roots: Sequence[nn.Module], hooks: Iterable[tuple[nn.Module, ForwardHook]]) -> ExitStack:
    """Hook modules under transformers; on an error in between, nothing stays hooked.

    Returns:
        A stack that removes all hooks, and whatever they left, when closed.
    """
    with ExitStack() as stack:
        # Callbacks run last to first, so the roots are tidied after all hooks are gone.
        for root in roots:
            stack.callback(_tidy, root, _REGISTRY in vars(root))
        for module, hook in hooks:
            _attach_one(stack, module, hook)
        for root in roots:
            forget_child_registries(root)
        return stack.pop_all()


def _attach_one(stack: ExitStack, module: nn.Module, hook: ForwardHook) -> None:
    before = dict(vars(module))
    registry = HookRegistry.check_if_exists_or_initialize(module)
    stack.callback(_tidy, module, _REGISTRY in before)
    below_accelerate = "_old_forward" in before and not registry.hooks
    if below_accelerate:
        # Model offloading takes off whatever is on top of it at the end of each pipeline call.
        module.forward = before["_old_forward"]
    try:
        registry.register_hook(hook, HOOK_NAME)
        hook.installed = vars(module)["forward"]
    finally:
        if below_accelerate:
            module.__dict__.update(_old_forward=module.forward, forward=before["forward"])
    stack.callback(_detach_one, module, hook.installed, "forward" in before)


def _detach_one(module: nn.Module, installed: object, had_forward: bool) -> None:
    registry = vars(module)[_REGISTRY]
    outermost: Any = vars(module).get("forward")
    on_top = registry._hook_order[-1:] == [HOOK_NAME]
    registry.remove_hook(HOOK_NAME, recurse=False)
    inner = vars(module)["forward"]
    if on_top and outermost is not installed:
        # Someone outside diffusers' registry wrapped our forward since. Take ours out of accelerate's chain; any other
        # wrapper goes on calling ours, which is transparent now.
        if vars(module).get("_old_forward") is installed:
            module._old_forward = inner
        module.forward = outermost
    elif on_top and not had_forward:
        del module.forward


def _tidy(module: nn.Module, had_registry: bool) -> None:
    registry = vars(module).get(_REGISTRY)
    if registry is None:
        return
    if not had_registry and not registry.hooks:
        delattr(module, _REGISTRY)
    forget_child_registries(module)


def forget_child_registries(root: nn.Module) -> None:
    """Have diffusers look for hooked modules anew; it caches what it found on every registry of the tree.

    ``HookRegistry.invalidate_child_registries_cache`` does the same, but not every supported version has it.
    """
    for module in root.modules():
        registry = vars(module).get(_REGISTRY)
        if registry is not None:
            registry._child_registries_cache = None
