"""Other caches beside schedules that cost as many MACs, so that times say what a saved MAC is worth in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.runtime.cache_settings import equal_macs_settings
from benchmarks.runtime.caches import Setting, helped, installed, transformer_macs
from benchmarks.runtime.random_models import Subject
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

#: A cache is taken at its first setting, from gentle to harsh, that saves so much: some decide by the images, which are
#: what random weights happen to give.
ENOUGH = 1.5
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Rival:
    """Another cache beside a schedule that costs what it costs.

    Args:
        enter: puts the cache on, for a block.
        beside: the name of the schedule.
        mac_speedup: how many times fewer MACs than uncached.
    """

    enter: Callable[[], AbstractContextManager[Any]]
    beside: str
    mac_speedup: float


def rivals(
    subject: Subject, call: Callable[[], Any], steps: int, say: Callable[[str], None]
) -> tuple[dict[str, Rival], dict[str, Schedule]]:
    """The caches that run on a pipeline, each with the whole-step schedule of about its MACs.

    Args:
        subject: the pipeline.
        call: calls it, with that number of steps.
        steps: see above.
        say: told of caches that are left out, and why.

    Raises:
        SystemExit: a run under such a schedule does not have the MACs of the schedule.
    """
    pipe = subject.pipe

    def run() -> None:
        helped(pipe)
        call()

    full = transformer_macs(pipe, run)
    found: dict[str, Rival] = {}
    schedules: dict[str, Schedule] = {}
    for cache, settings in equal_macs_settings(say).items():
        try:
            setting, macs = _first_that_saves(pipe, settings, run, full)
        except _NoneError as error:
            say(f"{cache} {error}")
            continue
        beside = f"whole steps of about the MACs of {cache}"
        schedules[beside] = schedule = of_macs(subject.layout, steps, macs / full)
        with apply_schedule(pipe, schedule, keep_text=False, fuse=False):
            counted = transformer_macs(pipe, run)
        if abs(counted - schedule.mac_fraction * full) > _ROUNDING * full:
            raise SystemExit(f"A run under {beside!r} does not have the MACs of its schedule.")
        found[setting.name] = Rival(partial(installed, pipe, setting), beside, full / macs)
    return found, schedules


class _NoneError(Exception):
    """No setting of a cache will do."""


def _first_that_saves(
    pipe: Any, settings: Sequence[Setting], run: Callable[[], None], full: int
) -> tuple[Setting, int]:
    for setting in settings:
        try:
            with installed(pipe, setting):
                macs = transformer_macs(pipe, run)
        except Exception as error:
            raise _NoneError(f"does not run: {type(error).__name__}: {error}") from error
        if full / macs >= ENOUGH:
            return setting, macs
    raise _NoneError(f"saves no {ENOUGH:g}x of the MACs at any setting.")


def of_macs(layout: Layout, steps: int, fraction: float) -> Schedule:
    """The schedule nearest to a share of the MACs that computes whole steps at even distances, and a part of one."""

    def with_slots(count: int) -> Schedule:
        whole, more = divmod(count, len(layout))
        compute = np.zeros((steps, len(layout)), dtype=np.bool_)
        even = np.round(np.linspace(0, steps, whole, endpoint=False)).astype(int)
        compute[even] = True
        # In the step that is farthest from what was computed.
        rest = [step for step in range(steps) if step not in even]
        if more:
            compute[max(rest, key=lambda step: step - max(even[even < step], default=0)), :more] = True
        return Schedule(layout, compute)

    def candidates() -> Iterator[Schedule]:
        # MACs grow with the count, so that neighbours of where they cross the share are enough.
        low, high = len(layout), steps * len(layout)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if with_slots(middle).mac_fraction >= fraction else (middle + 1, high)
        yield from map(with_slots, range(max(low - 2, len(layout)), min(low + 3, steps * len(layout) + 1)))

    return min(candidates(), key=lambda schedule: abs(schedule.mac_fraction - fraction))
