"""What schedules do about guidance."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.errors import FileError, ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import REUSE, Forecasts
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE, Guidance, effective_guidance
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import from_document, schedule_sha256, to_document
from ecad_automl.schedules.transfer import move_schedule

LAYOUT = Layout(
    "Tiny",
    (
        Slot("0", "attn", macs=10, text_macs=4),
        Slot("0", "proj", reader="out", macs=20, conditional=(12, 0)),
        Slot("0", "out", macs=6),
    ),
    constant_macs=8,
    text_macs=2,
)
STEPS = 8
WEIGHTS = np.tile([1.5, -0.5], (STEPS, 1))


@st.composite
def schedules(draw: st.DrawFn, steps: int = STEPS) -> Schedule:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    skip = rng.random(steps) < draw(st.sampled_from([0.0, 0.3]))
    levels = rng.integers(0, 4, (steps, 4)) * draw(st.booleans())
    weights = np.tile([1.5, -0.5], (steps, 4, 1))
    actions = rng.integers(0, NONE + 1, steps)
    return Schedule(LAYOUT, rng.random((steps, 3)) < 0.4, skip, levels, weights, actions, WEIGHTS[:steps])


def test_computing_both_everywhere_is_the_schedule_without() -> None:
    bits = np.random.default_rng(0).random((STEPS, 3)) < 0.5
    plain, given_all = Schedule(LAYOUT, bits), Schedule(LAYOUT, bits, guidance=[BOTH] * STEPS)
    assert given_all == plain
    assert hash(given_all) == hash(plain)
    assert given_all.is_plain
    assert to_document(given_all) == to_document(plain)
    assert given_all.to_genome() == plain.to_genome() == plain.to_hex()


@pytest.mark.parametrize(
    ("actions", "effect"),
    [
        ([KEEP, KEEP, NONE], [BOTH, KEEP, NONE]),  # nothing to keep
        ([NONE, KEEP + 2, KEEP], [NONE, BOTH, KEEP]),
        ([BOTH, KEEP + 3, BOTH], [BOTH, KEEP, BOTH]),  # a forecast needs two
        ([BOTH, BOTH, KEEP + 3], [BOTH, BOTH, KEEP + 3]),
        ([NONE, NONE, NONE], [NONE, NONE, NONE]),
    ],
)
def test_actions_count_by_their_effect(actions: list[int], effect: list[int]) -> None:
    assert effective_guidance(np.array(actions), np.zeros(3, bool)).tolist() == effect
    weights = np.tile([1.5, -0.5], (3, 1))
    one, other = (
        Schedule(LAYOUT, np.ones((3, 3)), guidance=each, guidance_weights=weights) for each in (actions, effect)
    )
    assert one == other
    assert hash(one) == hash(other)


def test_a_skipped_step_does_nothing_about_guidance() -> None:
    skip = [0, 1, 0, 0]
    one, other = (
        Schedule(LAYOUT, np.ones((4, 3)), skip, guidance=actions) for actions in ([0, NONE, KEEP, 0], [0, 0, KEEP, 0])
    )
    assert one == other
    assert one.guidance.both.tolist() == [True, False, False, True]


def test_the_first_step_with_both_branches_computes_everything_and_forgets() -> None:
    compute = np.ones((5, 3))
    compute[2:] = 0
    levels = np.full((5, 4), 3)
    weights = np.tile([1.5, -0.5], (5, 4, 1))
    schedule = Schedule(LAYOUT, compute, None, levels, weights, [NONE, NONE, BOTH, BOTH, BOTH])
    assert schedule.effective.all(axis=1).tolist() == [True, True, True, False, False]
    assert not schedule.forecast.any()  # two outputs came before, but not of both branches
    assert (schedule.sources[0, 3:, :3] == 2).all()


@given(schedules())
@settings(deadline=None)
def test_the_effect_is_its_own_effect(schedule: Schedule) -> None:
    arrays = (schedule.effective, schedule.skip, schedule.damping, schedule.weights)
    assert Schedule(LAYOUT, *arrays, schedule.guidance.actions, schedule.guidance.weights) == schedule


@given(schedules())
@settings(deadline=None)
def test_files_and_pickles_give_the_schedule_back(schedule: Schedule) -> None:
    assert from_document(to_document(schedule), "x").schedule == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert copy.deepcopy(schedule) == schedule


@given(schedules(), schedules())
@settings(deadline=None)
def test_hashes_of_files_tell_effects_apart(one: Schedule, other: Schedule) -> None:
    assert (schedule_sha256(one) == schedule_sha256(other)) == (one == other)


def drift(rng: np.random.Generator) -> Drift:
    outputs = np.cumsum(rng.normal(size=(5, STEPS, 12)), axis=1)
    moved = ((outputs[:, :, None] - outputs[:, None]) ** 2).mean(axis=-1)
    power = (outputs**2).mean(axis=-1)
    made = Drift.from_moments(("0.attn", "0.proj", "0.out"), moved[:4], power[:4])
    scale = (power[4][:, None] + power[4]) / 2
    return Drift(
        *(made.slots, made.distance, made.magnitude, made.output, made.output_magnitude),
        guidance=(moved[4] / scale).astype(np.float32),
        guidance_magnitude=np.sqrt(power[4]).astype(np.float32),
    )


def test_genomes_give_the_schedule_back() -> None:
    rng = np.random.default_rng(0)
    forecasts = Forecasts(drift(rng), LAYOUT.component_index)
    for _ in range(20):
        schedule = Schedule(
            *(LAYOUT, rng.random((STEPS, 3)) < 0.4, rng.random(STEPS) < 0.2, rng.integers(0, 4, (STEPS, 4)), forecasts),
            rng.integers(0, NONE + 1, STEPS),
        )
        genome = schedule.to_genome()
        assert genome.count("/") == (0 if schedule.is_plain else 2 if schedule.guidance.is_full else 3)
        assert Schedule.from_genome(LAYOUT, STEPS, genome, forecasts) == schedule


def test_differences_are_forecast_by_least_squares() -> None:
    rng = np.random.default_rng(1)
    measured = drift(rng)
    assert Drift.from_bytes(measured.to_bytes()) == measured
    forecasts = Forecasts(measured, LAYOUT.component_index)
    schedule = Schedule(LAYOUT, np.ones((STEPS, 3)), None, None, forecasts, [0, 0, KEEP + 3, KEEP + 1, *[0] * 4])
    weights = schedule.guidance.weights
    assert (weights[2] != REUSE).any()
    assert (weights[4:] == REUSE).all()
    np.testing.assert_allclose(schedule.guidance.coefficients[3], REUSE + (weights[3] - REUSE) / 3, rtol=1e-6)
    older = Forecasts(Drift(measured.slots, measured.distance, measured.magnitude), LAYOUT.component_index)
    assert (older.of_guidance(schedule.guidance.sources) == REUSE).all()


@given(schedules())
@settings(deadline=None)
def test_macs_are_those_of_a_count(schedule: Schedule) -> None:
    both = {"attn": 10, "proj": 20, "out": 6}
    alone = {"attn": 5, "proj": 12, "out": 3}
    total = 0
    for step in range(STEPS):
        if schedule.skip[step]:
            continue
        single = bool(schedule.guidance.alone[step])
        total += 4 if single else 8
        counts = alone if single else both
        total += sum(
            counts[slot.component] for slot, bit in zip(LAYOUT.slots, schedule.effective[step], strict=True) if bit
        )
    assert schedule.macs == total


@pytest.mark.parametrize(("calls", "saved"), [(1, (2 + 4) + (1 + 2)), (2, 3 * (1 + 2) + (1 + 2))])
def test_text_is_worked_on_once_for_each_branch_or_batch(calls: int, saved: int) -> None:
    layout = Layout("Tiny", LAYOUT.slots, 8, {"calls": calls}, 2)
    schedule = Schedule(layout, np.ones((4, 3)), guidance=[BOTH, KEEP, BOTH, NONE])
    # Together: once of two times both, and once of two times one. Apart: three of four of one, and one of two.
    assert schedule.macs - schedule.run_macs == saved


def test_without_macs_a_branch_alone_is_half_of_the_work() -> None:
    bare = Layout("Tiny", (Slot("0", "attn"),))
    assert Schedule(bare, np.ones((4, 1)), guidance=[BOTH, KEEP, NONE, BOTH]).mac_fraction == 0.75


@given(schedules())
@settings(deadline=None)
def test_actions_move_with_their_steps(schedule: Schedule) -> None:
    assert schedule.resample(STEPS).guidance.both.tolist() == schedule.guidance.both.tolist()
    twice = schedule.resample(2 * STEPS).guidance
    assert not twice.levels.any()  # without weights
    assert move_schedule(schedule, LAYOUT, STEPS) == schedule
    halved = np.flatnonzero(schedule.guidance.alone)
    assert set(np.flatnonzero(twice.alone) // 2) <= set(halved.tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guidance": "bbk"}, "needs 4 letters"),
        ({"guidance": "bbxk"}, "needs 4 letters"),
        ({"guidance_forecasts": {}}, "needs a list of objects"),
        ({"guidance_forecasts": [{"step": 1, "level": 1, "from": [0, 0], "weights": [1, 0]}]}, "is not kept there"),
        ({"guidance_forecasts": [{"step": 9, "level": 1, "from": [1, 0], "weights": [1, 0]}]}, "at step 9"),
        ({"guidance_forecasts": [{"step": 2, "level": 5, "from": [1, 0], "weights": [1, 0]}]}, "forecasts.0.level"),
        ({"guidance": "bbbk", "guidance_forecasts": []}, "for 'sha256'"),
    ],
)
def test_damaged_files_are_one_sentence(change: dict[str, Any], message: str) -> None:
    schedule = Schedule(LAYOUT, np.ones((4, 3)), guidance=[0, 0, KEEP + 2, KEEP], guidance_weights=WEIGHTS[:4])
    with pytest.raises(FileError, match=message):
        from_document({**to_document(schedule), **change}, "x.json")


@pytest.mark.parametrize(
    ("actions", "weights", "message"),
    [
        ([0, 0, 1], None, "guidance has the shape"),
        ([0, 0, 9, 0], None, "guidance has the shape"),
        ([0, 0, KEEP + 1, 0], None, "needs the weights"),
        ([0, 0, KEEP + 1, 0], np.ones((3, 2)), "weights of a schedule's guidance"),
    ],
)
def test_malformed_guidance_is_refused(actions: list[int], weights: Any, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Guidance.of(actions, np.zeros(4, bool), weights)
