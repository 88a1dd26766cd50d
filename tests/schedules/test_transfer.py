from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.drift import Drift
from ecad_automl.schedules.forecast import Forecasts
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.transfer import counterparts, move_schedule


def pixart_like(blocks: int, macs: int = 1, names: tuple[str, ...] = ("attn1", "attn2", "ff")) -> Layout:
    slots = tuple(
        Slot(f"transformer_blocks.{block}", name, macs=macs * price)
        for block in range(blocks)
        for name, price in zip(names, (5, 3, 9), strict=False)
    )
    return Layout("PixArtTransformer2DModel", slots, constant_macs=11 * macs * blocks)


def flux_like(doubles: int, singles: int, transformer: str = "FluxTransformer2DModel") -> Layout:
    slots = [
        Slot(f"transformer_blocks.{block}", name, macs=10)
        for block in range(doubles)
        for name in ("attn", "ff", "ff_context")
    ]
    slots += [
        Slot(f"single_transformer_blocks.{block}", name, reader, macs=10)
        for block in range(singles)
        for name, reader in (("proj_mlp", "proj_out"), ("attn", "proj_out"), ("proj_out", None))
    ]
    return Layout(transformer, tuple(slots))


LAYOUTS = st.one_of(
    st.builds(pixart_like, st.integers(1, 7)), st.builds(flux_like, st.integers(1, 4), st.integers(0, 5))
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    layout = draw(LAYOUTS)
    return Schedule(layout, draw(hnp.arrays(np.bool_, (draw(st.integers(1, 9)), len(layout)))))


@given(schedules())
def test_between_equal_layouts_and_step_counts_nothing_changes(schedule: Schedule) -> None:
    assert move_schedule(schedule, schedule.layout, schedule.steps) == schedule


@given(schedules(), LAYOUTS, st.integers(1, 12))
def test_what_was_moved_fits_computes_its_first_step_and_stays_when_moved_again(
    schedule: Schedule, layout: Layout, steps: int
) -> None:
    moved = move_schedule(schedule, layout, steps)
    assert moved.layout is layout
    assert moved.steps == steps
    assert moved.effective[0].all()
    assert move_schedule(moved, layout, steps) == moved


@given(LAYOUTS, st.integers(1, 9), LAYOUTS, st.integers(1, 12))
def test_all_compute_stays_all_compute(source: Layout, before: int, target: Layout, after: int) -> None:
    moved = move_schedule(Schedule.all_compute(source, before), target, after)
    assert moved == Schedule.all_compute(target, after)


@given(st.integers(1, 6), st.integers(1, 4), st.data())
def test_a_deeper_or_larger_sibling_saves_the_same_share(blocks: int, times: int, data: st.DataObject) -> None:
    source, target = pixart_like(blocks), pixart_like(blocks * times, macs=7)
    schedule = Schedule(source, data.draw(hnp.arrays(np.bool_, (6, len(source)))))
    moved = move_schedule(schedule, target, 6)
    assert moved.mac_fraction == pytest.approx(schedule.mac_fraction)
    # And there and back nothing is lost.
    assert move_schedule(moved, source, 6) == schedule


def test_blocks_are_matched_by_relative_depth() -> None:
    source, target = pixart_like(6), pixart_like(4)
    blocks = source.block_index[counterparts(source, target)]
    assert blocks.tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3, 5, 5, 5]
    assert (source.component_index[counterparts(source, target)] == target.component_index).all()


def test_stacks_of_blocks_that_both_have_are_matched_with_each_other() -> None:
    source, target = flux_like(2, 1), flux_like(2, 6, "Flux2Transformer2DModel")
    found = counterparts(source, target)
    for index, slot in zip(found, target.slots, strict=True):
        assert source.slots[index].component == slot.component
        assert source.slots[index].block.split(".")[0] == slot.block.split(".")[0]


def test_a_stack_that_only_one_has_is_matched_with_all_of_the_component() -> None:
    source = flux_like(2, 2)
    target = Layout("Other", tuple(Slot(f"layers.{block}", "attn") for block in range(4)))
    names = [source.slots[index].name for index in counterparts(source, target)]
    assert names == [
        *("transformer_blocks.0.attn", "transformer_blocks.1.attn"),
        *("single_transformer_blocks.0.attn", "single_transformer_blocks.1.attn"),
    ]


def test_components_that_the_source_does_not_have_are_computed_in_every_step() -> None:
    source, target = pixart_like(3, names=("attn1", "ff")), pixart_like(3)
    moved = move_schedule(Schedule(source, np.zeros((5, len(source)))), target, 5)
    cross = target.component_index == target.components.index("attn2")
    assert moved.effective[:, cross].all()
    assert not moved.effective[1:, ~cross].any()


def test_without_a_shared_component_nothing_is_moved() -> None:
    source = pixart_like(2, names=("attn1", "attn2"))
    with pytest.raises(ScheduleError, match=r"components attn1, attn2, but FluxTransformer2DModel has attn, ff"):
        move_schedule(Schedule.all_compute(source, 3), flux_like(1, 0), 3)


def test_no_steps_are_refused() -> None:
    layout = pixart_like(1)
    with pytest.raises(ScheduleError, match="at least 1"):
        move_schedule(Schedule.all_compute(layout, 3), layout, 0)


def rows(schedule: Schedule, steps: int) -> list[int]:
    """In which steps anything is computed after moving to another number of them."""
    moved = move_schedule(schedule, schedule.layout, steps)
    return np.flatnonzero(moved.effective.any(axis=1)).tolist()


def every(interval: int, steps: int) -> Schedule:
    layout = pixart_like(2)
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    compute[::interval] = True
    return Schedule(layout, compute)


def test_computations_keep_their_place_in_the_run() -> None:
    assert rows(every(5, 20), 12) == [0, 3, 6, 9]
    assert rows(every(5, 20), 40) == [0, 10, 20, 30]
    # Where rows were picked at even distances, all computations but the first would be lost here.
    assert rows(every(2, 20), 10) == list(range(10))


def test_unbroken_runs_of_computations_stay_unbroken() -> None:
    layout = pixart_like(1)
    compute = np.zeros((10, len(layout)), dtype=np.bool_)
    compute[[3, 4, 5, 8, 9]] = True
    assert rows(Schedule(layout, compute), 20) == [0, *range(6, 11), *range(16, 20)]


@given(schedules(), st.integers(1, 30))
def test_no_computation_is_lost_and_each_stays_at_its_share_of_the_run(schedule: Schedule, steps: int) -> None:
    moved = move_schedule(schedule, schedule.layout, steps)
    free = schedule.layout.reader_index < 0
    for slot in np.flatnonzero(free):
        for step in np.flatnonzero(schedule.effective[:, slot]):
            nearest = min(int(step * steps / schedule.steps + 0.5), steps - 1)
            assert moved.effective[nearest, slot]


@given(schedules(), st.integers(1, 30))
def test_slots_that_shared_their_steps_still_do(schedule: Schedule, steps: int) -> None:
    compute = np.repeat(schedule.effective[:, :1], len(schedule.layout), axis=1)
    moved = move_schedule(Schedule(schedule.layout, compute), schedule.layout, steps)
    assert (moved.effective.all(axis=1) | ~moved.effective.any(axis=1)).all()


def forecasting(steps: int = 8) -> Schedule:
    layout = pixart_like(2)
    compute = np.zeros((steps, len(layout)), dtype=np.bool_)
    compute[::2] = True
    compute[1] = True
    skip = np.arange(steps) % 4 == 3
    levels = np.tile([1, 2, 0, 3], (steps, 1))
    return Schedule(layout, compute, skip, levels, np.tile([1.5, -0.5], (steps, len(layout) + 1, 1)))


def test_a_schedule_that_forecasts_stays_as_it_is_on_its_own_model() -> None:
    schedule = forecasting()
    assert not schedule.is_plain
    assert move_schedule(schedule, schedule.layout, schedule.steps) == schedule


@pytest.mark.parametrize(("blocks", "steps"), [(5, 8), (2, 16), (3, 24)])
def test_skipped_steps_are_at_the_same_shares_of_a_run_elsewhere(blocks: int, steps: int) -> None:
    schedule = forecasting()
    moved = move_schedule(schedule, pixart_like(blocks), steps)
    assert not moved.damping.any()  # there are no weights for it
    times = steps // 8
    assert moved.skip.tolist() == np.repeat(schedule.skip, times).tolist()
    forecasts = Forecasts(smooth_drift(pixart_like(blocks), steps), pixart_like(blocks).component_index)
    again = move_schedule(schedule, pixart_like(blocks), steps, forecasts)
    assert again.forecast.any()
    assert np.array_equal(again.effective, moved.effective)
    assert set(again.damping[:, 0].tolist()) <= {0, 1}
    assert set(again.damping[:, 1].tolist()) <= {0, 2}
    assert 3 in again.damping[:, -1]


def smooth_drift(layout: Layout, steps: int) -> Drift:
    time = np.arange(steps) / steps
    moved = (time[:, None] - time) ** 2 + 0.01 * (1 - np.eye(steps))
    rows = len(layout) + 1
    names = tuple(slot.name for slot in layout.slots)
    return Drift.from_moments(names, np.tile(moved, (rows, 1, 1)), np.ones((rows, steps)))
