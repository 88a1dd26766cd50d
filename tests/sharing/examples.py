"""Schedules that the tests of sharing share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import Measured, ScheduleFile, ScheduleMetadata

LAYOUT = Layout(
    "FluxTransformer2DModel",
    (
        Slot("transformer_blocks.0", "attn", macs=5 * 10**9),
        Slot("transformer_blocks.0", "ff", macs=6 * 10**9),
        Slot("single_transformer_blocks.0", "proj_mlp", reader="proj_out", macs=7 * 10**9),
        Slot("single_transformer_blocks.0", "proj_out", macs=9 * 10**9),
    ),
    constant_macs=3 * 10**9,
)

METADATA = ScheduleMetadata(
    name="flux-1.50x-trial17",
    model="black-forest-labs/FLUX.1-dev",
    revision="0ef5fff789c832c5c7f4e127f94c8b54bbcced44",
    scheduler="FlowMatchEulerDiscreteScheduler",
    height=256,
    width=512,
    guidance_scale=3.5,
    dtype="bfloat16",
    reward="image-reward",
    objectives={
        "reward": Measured(value=0.93125, samples=800),
        "reward_difference": Measured(value=-0.0125, low=-0.02, high=-0.005, confidence=0.95, samples=800),
        "gmacs": Measured(value=1234.5, unit="GMAC"),
        "confirmed_reward_difference": Measured(value=-0.0375, low=-0.0625, high=-0.0125, confidence=0.95, samples=96),
    },
    survives=True,
    study="flux",
    trial=17,
    origin="bred",
    versions={"diffusers": "0.42.1"},
    created="2026-05-09T12:00:00+00:00",
)


def forecasting(seed: int = 0, steps: int = 6) -> Schedule:
    """A schedule that skips steps and forecasts outputs."""
    rng = np.random.default_rng(seed)
    compute = rng.random((steps, len(LAYOUT))) < 0.5
    compute[:2] = True
    skip = np.isin(np.arange(steps), [3, rng.integers(3, steps)])
    levels = rng.integers(0, 4, (steps, len(LAYOUT.components) + 1))
    levels[3, -1] = 2
    weights = np.tile(rng.normal(size=(steps, 1, 2)), (1, len(LAYOUT) + 1, 1))
    return Schedule(LAYOUT, compute, skip, levels, weights)


def guided(seed: int = 0, steps: int = 6) -> Schedule:
    """One that leaves out guidance branches too, on a layout that tells of their MACs."""
    told = forecasting(seed, steps)
    slots = tuple(replace(slot, macs=9, conditional=(5, 0)) for slot in LAYOUT.slots)
    layout = Layout(LAYOUT.transformer, slots, 7, conditional=(4, 0))
    actions = [BOTH, BOTH, KEEP + 2, BOTH, KEEP, NONE]
    weights = np.tile([1.5, -0.5], (steps, 1))
    skip = told.skip & (np.arange(steps) == 3)
    return Schedule(layout, told.compute, skip, guidance=actions, guidance_weights=weights)


def every(interval: int, steps: int = 6) -> Schedule:
    """All slots computed in every such step."""
    return Schedule(LAYOUT, [[step % interval == 0] * len(LAYOUT) for step in range(steps)])


def found(interval: int, difference: float, *, confirmed: float | None = None, survives: bool = True) -> ScheduleFile:
    """A schedule with a name and differences of reward."""
    objectives = {"reward_difference": Measured(value=difference, low=difference - 1, high=difference + 1)}
    if confirmed is not None:
        objectives["confirmed_reward_difference"] = Measured(value=confirmed)
    name = f"every-{interval}"
    return ScheduleFile(
        every(interval),
        ScheduleMetadata(name=name, objectives=objectives, survives=None if confirmed is None else survives),
    )


def several() -> dict[str, ScheduleFile]:
    """Three schedules by their files: every second, third and sixth step."""
    return {
        "every-2.json": found(2, -0.1, confirmed=-0.3),
        "every-3.json": found(3, -0.2, confirmed=-0.25),
        "every-6.json": found(6, -0.4, confirmed=-0.1, survives=False),
    }


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of any transformer: names of all kinds, components that blocks lack, readers."""
    names = st.text(min_size=1, max_size=8)
    slots: list[Slot] = []
    for block in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        components = draw(st.lists(names, min_size=1, max_size=3, unique=True))
        reader = components[-1] if len(components) > 1 and draw(st.booleans()) else None
        for index, component in enumerate(components):
            macs = draw(st.integers(0, 10**12))
            slots.append(Slot(block, component, reader if index == 0 else None, macs=macs))
    full = [slot.name for slot in slots]
    # "a.b" and "c" make the same name as "a" and "b.c".
    unique = [slot for slot in slots if full.count(slot.name) == 1 and slot.reader is None]
    layout = Layout(draw(names), tuple(unique if len(set(full)) != len(full) else slots) or (Slot("b", "c"),))
    steps = draw(st.integers(1, 5))
    return Schedule(layout, draw(hnp.arrays(np.bool_, (steps, len(layout)))))


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_MEASURED = st.builds(
    Measured,
    value=_NUMBERS,
    low=st.none() | _NUMBERS,
    high=st.none() | _NUMBERS,
    confidence=st.none() | st.floats(0.01, 0.99),
    samples=st.none() | st.integers(1, 10**6),
    unit=st.none() | st.text(max_size=5),
)

METADATAS = st.builds(
    ScheduleMetadata,
    name=st.none() | st.text(),
    model=st.none() | st.text(),
    revision=st.none() | st.text(),
    scheduler_config=st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.text(max_size=5), max_size=3),
    height=st.none() | st.integers(1, 4096),
    guidance_scale=st.none() | _NUMBERS,
    call=st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]*\Z"), _NUMBERS | st.text(max_size=5), max_size=3),
    dtype=st.none() | st.text(max_size=9),
    objectives=st.dictionaries(st.text(max_size=9), _MEASURED, max_size=3),
    survives=st.none() | st.booleans(),
    trial=st.none() | st.integers(0),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    notes=st.none() | st.text(),
)
