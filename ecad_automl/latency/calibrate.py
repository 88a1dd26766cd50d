"""Times random schedules, of all the patterns that a search tries, and fits the latency model to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from ecad_automl.errors import CacheStateError, EvaluationError, ScheduleError, UnsupportedModelError
from ecad_automl.judging.machine import machine
from ecad_automl.latency.bench import Calls, device_name
from ecad_automl.latency.latency_model import FEWEST_SCHEDULES, Floats, LatencyModel, fit_latency
from ecad_automl.latency.timing import Clock
from ecad_automl.models import LoadedModel, model_layout
from ecad_automl.runtime import ScheduleHandle, apply_schedule
from ecad_automl.schedules.forecast import DAMPING
from ecad_automl.schedules.guidance import NONE
from ecad_automl.schedules.heuristics import random_bands
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Bits, Schedule

_WARMUP = 2
#: Most passes over the schedules.
_PASSES = 3
#: Where one pass over the schedules gives no better error than this, the machine is noisy, and another pass follows.
_GOOD_ERROR = 0.02
#: Shares of computes, from harsh to gentle.
_SHARES = (0.05, 0.95)


def calibrate_latency(
    model: LoadedModel,
    count: int = 40,
    *,
    batch_size: int = 1,
    layout: Layout | None = None,
    progress: Callable[[int, int], object] = lambda _done, _count: None,
    clock: Clock | None = None,
) -> LatencyModel:
    """Time random schedules, each between two uncached runs, and fit a model to them.

    Where there are two guidance branches, the last of them computes all of the conditional one, and nothing else.

    Of each only the ratio to its two neighbors is taken, times the median uncached run: a machine that is slower for a
    while then changes little. On a noisy machine several passes are made, and the median of the ratios is taken.

    Args:
        model: the pipeline and how it is called.
        count: number of schedules.
        batch_size: images per pipeline call.
        layout: the slots of the model; found out if None.
        progress: is told how many times were taken, and how many there are at most.
        clock: how time is taken; that of the transformer's device by default.

    Raises:
        EvaluationError: too few schedules, or no image per call.
    """
    if count < FEWEST_SCHEDULES:
        raise EvaluationError(f"There are {count} schedules to time; a latency model needs {FEWEST_SCHEDULES}.")
    if batch_size < 1:
        raise EvaluationError(f"The batch size is {batch_size}; at least 1 image per call is needed.")
    layout = layout or model_layout(model)
    steps = model.settings.steps
    calls = Calls(model, whole=False, clock=clock)
    handle: ScheduleHandle | None = None

    def seconds(schedule: Schedule | None) -> float:
        nonlocal handle
        if schedule is None:
            return calls.time(batch_size, steps).transformer
        # Blocks prepared for one schedule serve the next; what a schedule needs beyond is made in an untimed call.
        with handle.switch(schedule) if handle else apply_schedule(model.pipe, schedule) as handle:
            calls.call(batch_size, steps)
            return calls.time(batch_size, steps).transformer

    schedules = random_schedules(layout, steps, count)
    for schedule in (None, *schedules[:1]):
        for _ in range(_WARMUP):
            seconds(schedule)

    if layout.sample.get("branches") == 2:
        alone = Schedule(layout, schedules[0].compute, guidance=np.full(steps, NONE))
        with suppress(UnsupportedModelError, ScheduleError, CacheStateError):  # where no branch can be left out
            seconds(alone)
            schedules[-1] = alone

    uncached = [seconds(None)]
    cached: list[float] = []
    while True:
        for schedule in schedules:
            progress(len(cached), count * _PASSES)
            cached.append(seconds(schedule))
            uncached.append(seconds(None))
        ratios = _ratios(cached, uncached).reshape(-1, count)
        plain = float(np.median(uncached))
        fitted = fit_latency(schedules, np.median(ratios, axis=0) * plain, plain)
        if fitted.error <= _GOOD_ERROR or len(ratios) >= _PASSES:
            break
    about = {
        "machine": machine(),
        "device": device_name(calls.device),
        "model": model.name,
        "dtype": str(calls.transformer.dtype).removeprefix("torch."),
        "generation": model.settings.to_dict(),
        "batch_size": batch_size,
        "uncached_seconds": uncached,
        "ratios": ratios.tolist(),
    }
    return replace(fitted, about=about)


def _ratios(cached: Sequence[float], uncached: Sequence[float]) -> Floats:
    """Each of ``n`` times over the mean of the uncached ones before and after it, of which there are ``n + 1``."""
    around = np.asarray(uncached, dtype=np.float64)
    ratios: Floats = np.asarray(cached) / ((around[:-1] + around[1:]) / 2)
    return ratios


def random_schedules(layout: Layout, steps: int, count: int, *, seed: int = 0) -> list[Schedule]:
    """All-compute, the first step alone, and random ones of five patterns in turn.

    The patterns: all bits on their own, whole steps, components at steps of their own, bands of blocks, and whole
    blocks; whole steps with a few bits flipped. One in three forecasts what it can, the others reuse. The same seed
    gives the same first ones, however many there are.
    """
    rng = np.random.default_rng(seed)
    extremes = [Schedule(layout, np.full((steps, len(layout)), value)) for value in (True, False)]
    drawn = [_random(layout, steps, index % 5, rng) for index in range(max(0, count - 2))]
    return [_forecasting(one) if index % 3 == 2 else one for index, one in enumerate([*extremes, *drawn])][:count]


def _forecasting(schedule: Schedule) -> Schedule:
    """The same with forecasts by the line through the last two outputs."""
    rows, columns = len(schedule.layout) + 1, len(schedule.layout.components) + 1
    levels = np.full((schedule.steps, columns), len(DAMPING) - 1)
    weights = np.tile([2.0, -1.0], (schedule.steps, rows, 1))
    return Schedule(schedule.layout, schedule.compute, None, levels, weights)


def _random(layout: Layout, steps: int, pattern: int, rng: np.random.Generator) -> Schedule:
    share = rng.uniform(*_SHARES)
    if pattern == 3:
        band = math.ceil(len(layout.blocks) / int(rng.integers(2, 6)))
        return random_bands(layout, steps, share, seed=int(rng.integers(2**31)), band=band)
    compute: Bits
    if pattern == 0:
        compute = rng.random((steps, len(layout))) < share
    elif pattern == 1:
        compute = (rng.random((steps, 1)) < share) ^ (rng.random((steps, len(layout))) < 0.02)
    elif pattern == 2:
        shares = rng.uniform(*_SHARES, size=len(layout.components))
        compute = (rng.random((steps, len(shares))) < shares)[:, layout.component_index]
    else:
        compute = (rng.random((steps, len(layout.blocks))) < share)[:, layout.block_index]
    return Schedule(layout, compute)
