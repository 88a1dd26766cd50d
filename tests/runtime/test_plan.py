from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.runtime.guided import Branch
from ecad_automl.runtime.plan import Action, Planned, keeping, plan_of
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

LAYOUT = Layout(
    "Tiny", (Slot("0", "attn"), Slot("0", "proj", reader="out"), Slot("0", "norm", reader="out"), Slot("0", "out"))
)
FRESH = (Action.COMPUTE, Action.STORE)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    steps = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = rng.random((steps, 4)) < draw(st.floats(0, 1))
    if draw(st.booleans()):
        return Schedule(LAYOUT, bits)
    levels = rng.integers(0, 4, (steps, 5))
    return Schedule(LAYOUT, bits, rng.random(steps) < 0.3, levels, np.tile([1.5, -0.5], (steps, 5, 1)))


def is_read(schedule: Schedule, step: int, slot: int) -> bool:
    if slot == 4:
        return bool(schedule.skip[step])
    return not schedule.skip[step] and (slot in (0, 3) or bool(schedule.effective[step, 3]))


@given(schedules())
def test_what_is_computed_is_what_the_schedule_computes(schedule: Schedule) -> None:
    computed = [[entry.action in FRESH for entry in row] for row in plan_of(schedule)]
    assert [row[:-1] for row in computed] == schedule.effective.tolist()
    assert [not row[-1] for row in computed] == schedule.skip.tolist()


def walk(plan: list[list[Planned]], slot: int) -> list[tuple[Planned, set[int]]]:
    """What is done with a slot at each step, and of which steps outputs are held after it."""
    held: set[int] = set()
    seen: list[tuple[Planned, set[int]]] = []
    for step, row in enumerate(plan):
        entry = row[slot]
        assert held.issuperset((*entry.sources, *entry.frees))
        held -= set(entry.frees)
        if entry.action is Action.STORE:
            held.add(step)
        seen.append((entry, set(held)))
    return seen


@given(schedules())
def test_every_use_finds_the_last_outputs_and_nothing_else_is_kept(schedule: Schedule) -> None:
    plan = plan_of(schedule)
    for slot in range(5):
        computed: list[int] = []
        seen = walk(plan, slot)
        for step, (entry, _) in enumerate(seen):
            if entry.action in FRESH:
                computed.append(step)
                assert entry.sources == ()
                continue
            assert (entry.action is not Action.SKIP) == is_read(schedule, step, slot)
            count = {Action.REUSE: 1, Action.FORECAST: 2}.get(entry.action, 0)
            assert entry.sources == tuple(computed[::-1][:count])
            assert (entry.action is Action.FORECAST) == bool(schedule.forecast[step, slot])
            if entry.action is Action.FORECAST:
                assert entry.coefficients == pytest.approx(schedule.coefficients[step, slot])
        for step, (_, held) in enumerate(seen):
            later = {source for entry, _ in seen[step + 1 :] for source in entry.sources}
            assert held == {source for source in later if source <= step}


@given(schedules(), st.integers(0, 2**32), st.sampled_from(Branch))
def test_every_branch_finds_what_it_uses_and_keeps_nothing_else(schedule: Schedule, seed: int, branch: Branch) -> None:
    steps = schedule.steps
    actions = np.random.default_rng(seed).choice([BOTH, KEEP, NONE], steps)
    guided = Schedule(LAYOUT, schedule.compute, schedule.skip, guidance=actions)
    plan = plan_of(guided, branch)
    for slot in range(5):
        seen = walk(plan, slot)
        for step, (entry, held) in enumerate(seen):
            alone = bool(guided.guidance.alone[step])
            if branch is Branch.UNCONDITIONAL and alone and slot < 4:
                assert entry.action is Action.SKIP
            assert bool(entry.halves) <= (branch is Branch.TOGETHER and alone and entry.action is Action.REUSE)
            later = {source for after, _ in seen[step + 1 :] for source in after.sources}
            assert held == {source for source in later if source <= step}


@given(schedules(), st.sampled_from([(1, 0), (2, 1), (2, 2)]))
def test_what_is_kept_for_others_is_the_last_outputs(schedule: Schedule, depths: tuple[int, int]) -> None:
    depths = (
        max(depths[0], 1 + int(schedule.forecast[:, :-1].any())),
        max(depths[1], int(schedule.skip.any()) + int(schedule.forecast[:, -1].any())),
    )
    plan = plan_of(schedule)
    kept = keeping(plan, schedule.sources, depths)
    for slot in range(5):
        computed: list[int] = []
        depth: Any = depths[slot == 4]
        for step, (entry, held) in enumerate(walk(kept, slot)):
            if entry.action in FRESH:
                computed.append(step)
            assert held == set(computed[::-1][:depth])
            assert entry.sources == plan[step][slot].sources
