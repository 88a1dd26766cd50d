"""Published caching heuristics, written as schedules: where a search starts and what it is compared with.

- FORA (arXiv 2407.01425): everything is recomputed every n steps.
- TGATE (arXiv 2404.02747): cross-attention is frozen from a gate step on.
- Pyramid Attention Broadcast, PAB (arXiv 2408.12588): in the middle of the run each component is reused over a range of
  steps of its own, the longest for cross-attention.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

_CROSS = "attn2"  # the name of cross-attention in every diffusers transformer that has a separate one


def fora(layout: Layout, steps: int, n: int, *, components: Collection[str] | None = None) -> Schedule:
    """FORA: recompute every ``n`` steps, reuse in between.

    Args:
        layout: the slots.
        steps: denoising steps.
        n: steps from one recompute to the next; 1 caches nothing.
        components: components that are cached so, all by default; the others are recomputed at every step.

    Raises:
        ScheduleError: ``steps`` or ``n`` is below 1, or the layout has no such component.
    """
    _at_least(steps, 1, "steps")
    _at_least(n, 1, "n")
    cached = layout.components if components is None else components
    return _by_ranges(layout, steps, dict.fromkeys(cached, n), (0, steps))


def tgate(layout: Layout, steps: int, gate_step: int, *, self_interval: int = 1, warmup: int = 2) -> Schedule:
    """TGATE, as far as reuse can say it: cross-attention is computed before the gate step and frozen from it on.

    TGATE itself also averages the frozen output over the guidance pair and drops the unconditional half from the gate
    on; neither is a reuse, so neither is done here. As in its code, self-attention before the gate is recomputed in
    the warm-up and at the multiples of the interval, and at every step from the gate on; feed-forward always.

    Args:
        layout: the slots, with ``attn2`` among the components.
        steps: denoising steps.
        gate_step: first step, counted from 0, that reuses cross-attention; ``steps`` for never.
        self_interval: steps from one recompute of self-attention to the next before the gate.
        warmup: first steps in which self-attention is always computed.

    Raises:
        ScheduleError: a number is out of range, or the transformer has no separate cross-attention.
    """
    _at_least(steps, 1, "steps")
    _at_least(self_interval, 1, "self_interval")
    _at_least(warmup, 0, "warmup")
    if not 1 <= gate_step <= steps:
        raise ScheduleError(f"TGATE's gate step is {gate_step}, but must be from 1 to the {steps} steps of the run.")
    if _CROSS not in layout.components:
        raise ScheduleError(
            f"TGATE freezes cross-attention ({_CROSS!r}), which {layout.transformer} does not have; "
            f"its components are {', '.join(layout.components)}, so take another heuristic."
        )
    compute = np.ones((steps, len(layout)), dtype=np.bool_)
    compute[gate_step:, _columns(layout, _CROSS)] = False
    step = np.arange(gate_step)
    for component in _self_attention(layout):
        fresh = (step < warmup) | (step % self_interval == 0)
        compute[:gate_step, _columns(layout, component)] = fresh[:, None]
    return Schedule(layout, compute)


def pab(
    layout: Layout, steps: int, ranges: Mapping[str, int], *, window: tuple[float, float] = (0.15, 0.85)
) -> Schedule:
    """Pyramid Attention Broadcast: in a middle window of steps each component is recomputed once in its own range.

    Args:
        layout: the slots.
        steps: denoising steps.
        ranges: by component, the steps from one recompute to the next; components left out are always recomputed.
        window: where reuse begins and ends, as shares of the run.

    Raises:
        ScheduleError: ``steps`` or a range is below 1, the window is no interval in [0, 1], or the layout has no such
            component.
    """
    _at_least(steps, 1, "steps")
    for component, span in ranges.items():
        _at_least(span, 1, f"the range of {component!r}")
    first, last = window
    if not 0 <= first <= last <= 1:
        raise ScheduleError(f"The window of reuse is {window}, but needs two growing shares of the run from 0 to 1.")
    return _by_ranges(layout, steps, ranges, (round(first * steps), round(last * steps)))


def random_bands(layout: Layout, steps: int, share: float, *, seed: int, band: int = 7) -> Schedule:
    """Random schedule that keeps a share of the computes: each component of each band of blocks draws its steps.

    A component that only another one reads takes the steps of its reader, so that no recompute is dead.

    Args:
        layout: the slots.
        steps: denoising steps.
        share: computed share of each slot's steps in [0, 1], rounded to whole steps; the first is always computed.
        seed: seed of the draw.
        band: adjacent blocks that are computed together.

    Raises:
        ScheduleError: ``steps`` or ``band`` is below 1, or ``share`` is no share.
    """
    _at_least(steps, 1, "steps")
    _at_least(band, 1, "band")
    if not 0 <= share <= 1:
        raise ScheduleError(f"The share of computes is {share}, but must be from 0 to 1.")
    kept = max(1, round(share * steps))
    generator = np.random.default_rng(seed)
    drawn: dict[tuple[int, str], NDArray[np.bool_]] = {}
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    for index, slot in enumerate(layout.slots):
        key = (int(layout.block_index[index]) // band, slot.reader or slot.component)
        if key not in drawn:
            column = np.zeros(steps, dtype=np.bool_)
            column[0] = True
            column[1 + generator.permutation(steps - 1)[: kept - 1]] = True
            drawn[key] = column
        compute[:, index] = drawn[key]
    return Schedule(layout, compute)


def default_heuristics(layout: Layout, steps: int, *, seed: int = 0) -> dict[str, Schedule]:
    """A named set of heuristics from gentle to harsh, no two of the same effect.

    Args:
        layout: the slots.
        steps: denoising steps.
        seed: seed of the random one.

    Returns:
        Schedules by name, such as ``fora-3`` or ``tgate-m10-k1``; the first is ``all-compute``.

    Raises:
        ScheduleError: ``steps`` is below 1.
    """
    attention = [name for name in layout.components if name.startswith("attn")]
    named = {"all-compute": Schedule.all_compute(layout, steps)}
    named |= {f"fora-{n}": fora(layout, steps, n) for n in (2, 3, 4, 5, 7, 10)}
    if attention:
        named["fora-attn-2"] = fora(layout, steps, 2, components=attention)
        ranges = {component: 4 if component in attention else 2 for component in layout.components}
        named["pab"] = pab(layout, steps, ranges | ({_CROSS: 6} if _CROSS in attention else {}))
    if _CROSS in attention:
        gate = max(1, steps // 2)
        for interval in (1, 3):
            named[f"tgate-m{gate}-k{interval}"] = tgate(layout, steps, gate, self_interval=interval)
    band = math.ceil(len(layout.blocks) / 4)
    named["random-50"] = random_bands(layout, steps, 0.5, seed=seed, band=band)
    distinct: dict[Schedule, str] = {}
    for name, schedule in named.items():
        distinct.setdefault(schedule, name)
    return {name: schedule for schedule, name in distinct.items()}


def is_published(name: str) -> bool:
    """Whether a name of :func:`default_heuristics` is that of a published heuristic: random bands are none."""
    return name.startswith(("fora-", "pab", "tgate-"))


def _by_ranges(layout: Layout, steps: int, ranges: Mapping[str, int], window: tuple[int, int]) -> Schedule:
    """Recompute at the multiples of each component's range inside the window, and everywhere outside it."""
    step = np.arange(steps)
    outside = (step < window[0]) | (step >= window[1])
    compute = np.ones((steps, len(layout)), dtype=np.bool_)
    for component, span in ranges.items():
        compute[:, _columns(layout, component)] = (outside | (step % span == 0))[:, None]
    return Schedule(layout, compute)


def _columns(layout: Layout, component: str) -> NDArray[np.bool_]:
    if component not in layout.components:
        raise ScheduleError(
            f"{layout.transformer} has no component {component!r}; its components are {', '.join(layout.components)}."
        )
    columns: NDArray[np.bool_] = layout.component_index == layout.components.index(component)
    return columns


def _self_attention(layout: Layout) -> list[str]:
    return [name for name in layout.components if name.startswith("attn") and name != _CROSS]


def _at_least(value: int, least: int, what: str) -> None:
    if value < least:
        raise ScheduleError(f"A heuristic was asked for with {value} for {what}, but at least {least} is needed.")
