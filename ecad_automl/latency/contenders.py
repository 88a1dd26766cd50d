"""What is timed: the plain pipeline, schedules, fewer steps, and the caches of others."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.latency.result import Kind
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.runtime.hooks import forget_child_registries
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.transfer import on_layout

UNCACHED = "uncached"

#: diffusers' PixArt takes a single step for a sign of a distilled model and then fails.
_FEWEST_STEPS = 2
_REGISTRY = "_diffusers_hook"

MakeConfig = Callable[[Any], Any]


@dataclass(frozen=True)
class Contender:
    """One way to run a pipeline.

    Args:
        name: what to call it.
        kind: what it is.
        steps: denoising steps of its calls.
        enter: brings the pipeline into the state in which it is timed, for a block.
        mac_speedup: how many times fewer MACs than uncached; None where they must be counted in a run.
        required: whether the benchmark makes no sense where this one fails; if not, the failure is listed.
    """

    name: str
    kind: Kind
    steps: int
    enter: Callable[[], AbstractContextManager[Any]]
    mac_speedup: float | None = None
    required: bool = True

    @property
    def changes(self) -> bool:
        """Whether entering it changes the pipeline."""
        return self.kind in ("schedule", "cache")


def uncached(steps: int) -> Contender:
    """The plain pipeline."""
    return Contender(UNCACHED, "uncached", steps, nullcontext, 1.0)


def fitted(layout: Layout, schedule: Schedule, name: str) -> Schedule:
    """The schedule with the MACs of a layout, which depend on size and text length.

    Raises:
        ScheduleError: the schedule is for another transformer.
    """
    difference = layout.difference(schedule.layout)
    if difference is not None:
        raise ScheduleError(f"The schedule {name!r} does not fit this model: {difference}.")
    return on_layout(schedule, layout)


def scheduled(pipe: Any, schedules: Mapping[str, Schedule], steps: int, **options: Any) -> list[Contender]:
    """The pipeline under each schedule, beside an uncached run of so many steps.

    Args:
        pipe: the pipeline.
        schedules: by name; they may have fewer steps.
        steps: of the uncached run.
        **options: of :func:`~ecad_automl.runtime.apply_schedule`.
    """
    handle: ScheduleHandle | None = None

    def enter(schedule: Schedule) -> Callable[[], AbstractContextManager[Any]]:
        def applied() -> ScheduleHandle:
            nonlocal handle  # blocks prepared for one schedule serve the next
            handle = handle.switch(schedule) if handle else apply_schedule(pipe, schedule, **options)
            return handle

        return applied

    return [
        Contender(name, "schedule", schedule.steps, enter(schedule), 1 / schedule.mac_fraction_of(steps))
        for name, schedule in schedules.items()
    ]


def nearest_steps(schedule: Schedule, steps: int) -> int | None:
    """The step count whose uncached MACs are nearest to those of the schedule; None where that is the full count."""
    count = max(_FEWEST_STEPS, round(schedule.mac_fraction_of(steps) * steps))
    return count if count < steps else None


def fewer_steps(schedules: Mapping[str, Schedule], steps: int) -> list[Contender]:
    """The plain pipeline with as few steps as make it about as cheap as each schedule, each count once.

    Args:
        schedules: by name.
        steps: of the uncached run.
    """
    found = {nearest_steps(schedule, steps) for schedule in schedules.values()}
    return [
        Contender(f"{count} steps", "fewer steps", count, nullcontext, steps / count, required=False)
        for count in sorted((count for count in found if count is not None), reverse=True)
    ]


def rivals(pipe: Any, settings: GenerationSettings) -> list[Contender]:
    """A contender for each cache; entering one that does not suit the transformer raises."""
    configs = _configs(pipe, settings)
    made = {name: partial(_diffusers_cache, pipe, kind, make) for name, (kind, make) in configs.items()}
    if importlib.util.find_spec("cache_dit") is not None:
        made["cache-dit"] = partial(_cache_dit, pipe)
    return [Contender(name, "cache", settings.steps, enter, required=False) for name, enter in made.items()]


def _configs(pipe: Any, settings: GenerationSettings) -> dict[str, tuple[str, MakeConfig]]:
    """By name, diffusers' class and how its config is made: the defaults, and what must be given besides."""

    def timestep() -> Any:
        return pipe.current_timestep

    config = pipe.transformer.config
    distilled = bool(config.get("guidance_embeds", False)) or settings.guidance_scale <= 1.0
    # Without a range diffusers falls back to 2, and without a weight to 0.5, each with a warning.
    pab = {"spatial_attention_block_skip_range": 2, "current_timestep_callback": timestep}
    faster = {
        "current_timestep_callback": timestep,
        "attention_weight_callback": lambda _: 0.5,
        "tensor_format": "BCHW",
        "is_guidance_distilled": distilled,
    }
    return {
        "First Block Cache": ("FirstBlockCacheConfig", lambda kind: kind()),
        "PAB": ("PyramidAttentionBroadcastConfig", lambda kind: kind(**pab)),
        "FasterCache": ("FasterCacheConfig", lambda kind: kind(**faster)),
        "TaylorSeer": ("TaylorSeerCacheConfig", lambda kind: kind()),
        "MagCache": (
            "MagCacheConfig",
            lambda kind: kind(num_inference_steps=settings.steps, mag_ratios=_mag_ratios(pipe)),
        ),
        "SeaCache": ("SeaCacheConfig", lambda kind: kind()),
        "TextKVCache": ("TextKVCacheConfig", lambda kind: kind()),
    }


def _mag_ratios(pipe: Any) -> Any:
    if type(pipe.transformer).__name__ != "FluxTransformer2DModel":
        raise UnsupportedModelError("diffusers brings its magnitude ratios for FLUX.1 alone; others must be measured")
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    return FLUX_MAG_RATIOS


@contextmanager
def _diffusers_cache(pipe: Any, name: str, make: MakeConfig) -> Iterator[None]:
    """One of diffusers' caches on the transformer, which is afterwards as it was before."""
    transformer = pipe.transformer
    if not hasattr(transformer, "enable_cache"):
        raise UnsupportedModelError(f"{type(transformer).__name__} has no enable_cache in diffusers")
    kind = getattr(importlib.import_module("diffusers.hooks"), name, None)
    if kind is None:
        raise UnsupportedModelError("this version of diffusers does not have it")
    config = make(kind)
    with _restored(transformer):
        transformer.enable_cache(config)
        forget_child_registries(transformer)  # 0.40 does not, and a model that has run fails
        try:
            yield
        finally:
            transformer.disable_cache()


@contextmanager
def _cache_dit(pipe: Any) -> Iterator[None]:
    """The library cache-dit at its defaults."""
    library = importlib.import_module("cache_dit")
    # It replaces the call of the pipeline's class.
    with _quiet("cache_dit"), _restored(pipe.transformer), _unchanged([type(pipe)]):
        try:
            library.enable_cache(pipe)
            yield
        finally:
            library.disable_cache(pipe)


@contextmanager
def _quiet(package: str) -> Iterator[None]:
    """Only errors from the loggers of a package: cache-dit writes to the standard output, where our tables go."""
    registered = list(logging.root.manager.loggerDict.items())
    loggers = [each for name, each in registered if f"{name}.".startswith(f"{package}.")]
    levels = [(each, each.level) for each in loggers if isinstance(each, logging.Logger)]
    for logger, _ in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels:
            logger.setLevel(level)


@contextmanager
def _restored(root: nn.Module) -> Iterator[None]:
    """Takes off all hooks of diffusers and attributes that the block leaves, also where a cache failed half-way.

    diffusers leaves its registries, and forwards that are set on the instance, behind on modules that had none;
    cache-dit counts, and a mark that keeps it from doing all that it does the first time.
    """
    before = [(module, _hooks(module)) for module in root.modules()]
    with _unchanged([module for module, _ in before]):
        try:
            yield
        finally:
            for module, hooks in before:
                registry: Any = vars(module).get(_REGISTRY)
                for name in _hooks(module) - hooks:
                    registry.remove_hook(name, recurse=False)
                if registry is not None and not hooks:
                    delattr(module, _REGISTRY)
            forget_child_registries(root)  # else it would go on calling what was taken off


@contextmanager
def _unchanged(objects: Iterable[object]) -> Iterator[None]:
    """Afterwards, objects or classes have no attributes that they did not have, and what they are called by is back."""
    before = [(each, dict(vars(each))) for each in objects]
    try:
        yield
    finally:
        for each, attributes in before:
            for name in set(vars(each)) - set(attributes):
                delattr(each, name)
            for name in ("forward", "__call__"):
                if name in attributes and vars(each).get(name) is not attributes[name]:
                    setattr(each, name, attributes[name])


def _hooks(module: nn.Module) -> set[str]:
    registry = vars(module).get(_REGISTRY)
    return set() if registry is None else set(registry.hooks)
