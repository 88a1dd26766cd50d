"""The caches of diffusers and of cache-dit, put on a pipeline for a while.

Many caches need a pipeline that names its guidance branch and resets them, or tells its timestep, which PixArt and
Stable Diffusion 3 do not. What is done here in its place is what a user would have to do too: see :func:`helped`.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

__all__ = [
    "CACHE_DIT",
    "CALIBRATORS",
    "COMPONENTS",
    "DIFFUSERS",
    "Setting",
    "cache_dit_on",
    "calibrate_magcache",
    "diffusers_on",
    "has_cache_dit",
    "helped",
    "installed",
    "names_branches",
    "timestep_of",
    "transformer_macs",
]

DIFFUSERS, CACHE_DIT = "diffusers", "cache-dit"

#: What forecasts in cache-dit: Taylor's expansion of first order, Prony's exponentials, a multistep predictor.
CALIBRATORS = ("TaylorSeer", "DMD", "FoCa")

#: Modules that TaylorSeer is to forecast: by default it looks for names that end in ``attn``, which PixArt has not.
COMPONENTS = [r"(single_)?transformer_blocks\.\d+\.(attn\d?|ff|ff_context|proj_mlp|proj_out)"]


@dataclass(frozen=True)
class Setting:
    """A cache at one setting of its knobs.

    Args:
        library: diffusers or cache-dit.
        cache: its name.
        knob: how it is set.
        put_on: puts it on a pipeline whose transformer is thrown away afterwards.
        dynamic: whether what it computes depends on the images.
        also_each: whether it is worth a look how it decides for single images.
    """

    library: str
    cache: str
    knob: str
    put_on: Callable[[Any], None]
    dynamic: bool = False
    also_each: bool = False

    @property
    def name(self) -> str:
        """Of the setting."""
        return f"{self.library} {self.cache}, {self.knob}"


def has_cache_dit() -> bool:
    """Whether cache-dit is installed."""
    return importlib.util.find_spec("cache_dit") is not None


@contextmanager
def installed(pipe: Any, setting: Setting) -> Iterator[None]:
    """The pipeline with a cache on a copy of its transformer, of the same weights, and afterwards without."""
    own, kind = pipe.transformer, type(pipe)
    before = dict(vars(kind))
    weights = {id(tensor): tensor for tensor in (*own.parameters(), *own.buffers())}
    pipe.transformer = copy.deepcopy(own, weights)
    try:
        setting.put_on(pipe)
        yield
    finally:
        pipe.transformer = own
        # cache-dit replaces the call of the pipeline's class, and marks it.
        for name in set(vars(kind)) - set(before):
            delattr(kind, name)
        if vars(kind).get("__call__") is not before.get("__call__"):
            kind.__call__ = before["__call__"]


def helped(pipe: Any) -> None:
    """Before a call: what a pipeline that knows of caches does itself.

    Such a pipeline resets the hooks at the end of a call, and names the guidance branch around each forward. PixArt and
    Stable Diffusion 3 compute both branches in one forward, so one name does for all; where branches have forwards of
    their own, one name would mix them up.
    """
    from diffusers.hooks import HookRegistry
    from diffusers.hooks.hooks import CacheContext, StateManager

    transformer = pipe.transformer
    if names_branches(pipe):
        return
    registry = HookRegistry.check_if_exists_or_initialize(transformer)
    registry.reset_stateful_hooks(recurse=True)
    for module in transformer.modules():
        own = vars(module).get("_diffusers_hook")
        for hook in own.hooks.values() if own is not None else ():
            for manager in vars(hook).values():
                if isinstance(manager, StateManager):
                    manager.set_context(CacheContext("all"))


def names_branches(pipe: Any) -> bool:
    """Whether a pipeline tells its transformer's caches which guidance branch it computes."""
    return "cache_context" in inspect.getsource(type(pipe).__call__)


def timestep_of(pipe: Any) -> Callable[[], float]:
    """Tells the timestep of the step that is being computed, also of pipelines that do not."""
    scheduler = pipe.scheduler
    given = [float("inf")]
    if not hasattr(type(pipe), "current_timestep") and not hasattr(scheduler, "step_index"):

        def note(_module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given[0] = float(torch.as_tensor(kwargs.get("timestep", args[-1])).max())

        pipe.transformer.register_forward_pre_hook(note, with_kwargs=True)

    def timestep() -> float:
        if hasattr(type(pipe), "current_timestep"):
            return float(pipe.current_timestep)
        if hasattr(scheduler, "step_index"):
            return float(scheduler.timesteps[scheduler.step_index or 0])
        return given[0]

    return timestep


def diffusers_on(apply: str, config: str, options: Mapping[str, Any]) -> Callable[[Any], None]:
    """Puts one of diffusers' caches on a pipeline.

    Args:
        apply: ``enable_cache``, which only some transformers have, or the function below it.
        config: class of its configuration.
        options: of the configuration; functions are called with the pipeline and give the value.
    """

    def put_on(pipe: Any) -> None:
        hooks = importlib.import_module("diffusers.hooks")
        made = getattr(hooks, config)(
            **{name: value(pipe) if callable(value) else value for name, value in options.items()}
        )
        if apply == "enable_cache":
            pipe.transformer.enable_cache(made)
        else:
            getattr(hooks, apply)(pipe.transformer, made)
            # What has run before remembers which modules have hooks; enable_cache makes it forget too.
            hooks.HookRegistry.check_if_exists_or_initialize(pipe.transformer).invalidate_child_registries_cache()

    return put_on


def cache_dit_on(calibrator: str = "", **options: Any) -> Callable[[Any], None]:
    """Puts cache-dit on a pipeline, with the first block computed in every step.

    Args:
        calibrator: what forecasts, one of :data:`CALIBRATORS` in its default settings; nothing does if empty.
        **options: of its ``DBCacheConfig``.
    """
    os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "error")  # it writes to the standard output
    library = importlib.import_module("cache_dit")

    def put_on(pipe: Any) -> None:
        config = library.DBCacheConfig(Fn_compute_blocks=1, Bn_compute_blocks=0, **options)
        forecaster = getattr(library, f"{calibrator}CalibratorConfig")() if calibrator else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            library.enable_cache(pipe, cache_config=config, calibrator_config=forecaster)

    return put_on


def transformer_macs(pipe: Any, call: Callable[[], object]) -> int:
    """MACs that the transformer really does in a call."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        call()
    flops = counter.get_flop_counts()[type(pipe.transformer).__name__]
    return int(sum(flops.values()) // 2)


def _attention(query: Any, key: Any, value: Any, *_args: Any, **_kwargs: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


# PyTorch's counter knows the fused attention of CUDA but not that of the CPU.
_CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}


def calibrate_magcache(pipe: Any, call: Callable[[], object], steps: int) -> list[float]:
    """The ratios that MagCache needs, of one uncached call.

    Args:
        pipe: the pipeline.
        call: runs it.
        steps: of the call.
    """
    from diffusers.hooks import mag_cache

    found: list[float] = []
    hook = mag_cache.MagCacheBlockHook
    keep = hook._perform_calibration_step  # it prints the ratios and does not give them back

    def noted(self: Any, state: Any, residual: torch.Tensor) -> None:
        keep(self, state, residual)
        found[:] = state.calibration_ratios

    options = {"calibrate": True, "num_inference_steps": steps + 1}
    put = diffusers_on("apply_mag_cache", "MagCacheConfig", options)
    hook._perform_calibration_step = noted
    try:
        with installed(pipe, Setting(DIFFUSERS, "MagCache", "calibration", put)):
            helped(pipe)
            call()
    finally:
        hook._perform_calibration_step = keep
    return found
