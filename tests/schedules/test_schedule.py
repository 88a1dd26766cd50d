from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.effect import effective_compute
from ecad_automl.schedules.forecast import staleness
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

Bits = NDArray[np.bool_]


def flux_like(blocks: int = 2) -> Layout:
    """Blocks whose first two slots are read by the third alone, as in FLUX's single blocks."""
    slots: list[Slot] = []
    for block in range(blocks):
        path = f"single_transformer_blocks.{block}"
        slots += [
            Slot(path, "proj_mlp", reader="proj_out", macs=30),
            Slot(path, "attn", reader="proj_out", macs=20),
            Slot(path, "proj_out", macs=40),
        ]
    return Layout("FluxTransformer2DModel", tuple(slots), constant_macs=7)


def pixart_like(blocks: int = 3) -> Layout:
    names = ("attn1", "attn2", "ff")
    slots = tuple(
        Slot(f"transformer_blocks.{block}", name, macs=macs)
        for block in range(blocks)
        for name, macs in zip(names, (5, 3, 9), strict=True)
    )
    return Layout("PixArtTransformer2DModel", slots, constant_macs=11)


LAYOUTS = st.sampled_from([flux_like(1), flux_like(2), pixart_like(1), pixart_like(3)])


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    layout = draw(LAYOUTS)
    steps = draw(st.integers(1, 9))
    return Schedule(layout, draw(hnp.arrays(np.bool_, (steps, len(layout)))))


Symbols = dict[tuple[object, ...], int]


def simulate(layout: Layout, compute: Bits, symbols: Symbols) -> tuple[list[tuple[int, ...]], Bits]:
    """A run, slot by slot with a dictionary as the cache; values are symbols that name what they were made from.

    Runs that share ``symbols`` can be compared. Returns the values that joined the residual stream, step by step, and
    the recomputes whose output was ever used.
    """
    cache: dict[str, tuple[int, int, int]] = {}
    used = np.zeros_like(compute)
    stream: list[tuple[int, ...]] = []
    residual = 0
    for step in range(len(compute)):
        joined = []
        for index, slot in enumerate(layout.slots):
            if compute[step, index] or slot.name not in cache:
                inputs = []
                for other in layout.slots:
                    if other.block == slot.block and other.reader == slot.component:
                        symbol, made_at, made_by = cache[other.name]
                        inputs.append(symbol)
                        used[made_at, made_by] = True
                key = (slot.name, step, residual, tuple(inputs))
                cache[slot.name] = (symbols.setdefault(key, len(symbols) + 1), step, index)
            if slot.reader is None:
                symbol, made_at, made_by = cache[slot.name]
                used[made_at, made_by] = True
                joined.append(symbol)
                residual = symbols.setdefault(("sum", residual, symbol), len(symbols) + 1)
        stream.append(tuple(joined))
    return stream, used


@settings(deadline=None)
@given(schedules())
def test_effective_bits_give_the_run_of_the_raw_bits(schedule: Schedule) -> None:
    symbols: Symbols = {}
    raw, _ = simulate(schedule.layout, schedule.compute, symbols)
    effective, _ = simulate(schedule.layout, schedule.effective, symbols)
    assert effective == raw


@settings(deadline=None)
@given(schedules())
def test_a_recompute_is_kept_exactly_where_its_output_is_used(schedule: Schedule) -> None:
    _, used = simulate(schedule.layout, schedule.compute, {})
    np.testing.assert_array_equal(schedule.effective, used)


@settings(deadline=None)
@given(schedules())
def test_the_first_step_computes_everything(schedule: Schedule) -> None:
    assert schedule.effective[0].all()


@settings(deadline=None)
@given(schedules())
def test_the_effective_form_is_its_own_effective_form(schedule: Schedule) -> None:
    again = Schedule(schedule.layout, schedule.effective)
    np.testing.assert_array_equal(again.effective, schedule.effective)
    assert again == schedule
    assert hash(again) == hash(schedule)


@settings(deadline=None)
@given(schedules())
def test_effective_compute_leaves_its_argument_alone(schedule: Schedule) -> None:
    given_bits = np.array(schedule.compute)
    effective_compute(given_bits, schedule.layout.reader_index)
    np.testing.assert_array_equal(given_bits, schedule.compute)


@settings(deadline=None)
@given(schedules(), st.data())
def test_schedules_are_equal_exactly_where_their_effects_are(schedule: Schedule, data: st.DataObject) -> None:
    bits = np.array(schedule.compute)
    step = data.draw(st.integers(0, schedule.steps - 1))
    slot = data.draw(st.integers(0, len(schedule.layout) - 1))
    bits[step, slot] ^= True
    other = Schedule(schedule.layout, bits)
    symbols: Symbols = {}
    runs = [simulate(schedule.layout, compute, symbols)[0] for compute in (schedule.compute, bits)]
    same_run = runs[0] == runs[1]
    assert (other == schedule) is same_run
    if same_run:
        assert hash(other) == hash(schedule)


def test_a_dead_recompute_does_not_tell_schedules_apart() -> None:
    layout = flux_like(1)
    bits = np.zeros((4, 3), dtype=np.bool_)
    dead = bits.copy()
    dead[1, 1] = True  # attn at a step where proj_out is reused, and recomputed by nobody afterwards
    assert Schedule(layout, dead) == Schedule(layout, bits)
    read_later = dead.copy()
    read_later[3, 2] = True  # proj_out now reads it two steps later
    assert Schedule(layout, read_later).effective[1, 1]


def test_schedules_of_different_layouts_differ() -> None:
    bits = np.ones((2, 3), dtype=np.bool_)
    assert Schedule(flux_like(1), bits) != Schedule(pixart_like(1), bits)
    assert Schedule(flux_like(1), bits) != bits.tolist()


@settings(deadline=None)
@given(schedules())
def test_hex_gives_the_schedule_back(schedule: Schedule) -> None:
    text = schedule.to_genome()
    again = Schedule.from_genome(schedule.layout, schedule.steps, text)
    assert again == schedule
    assert again.to_genome() == text
    assert Schedule.from_genome(schedule.layout, schedule.steps, text.upper()) == schedule


@settings(deadline=None)
@given(schedules())
def test_macs_are_those_of_a_count_slot_by_slot(schedule: Schedule) -> None:
    layout = schedule.layout
    total = 0
    for step in range(schedule.steps):
        total += layout.constant_macs
        for index, slot in enumerate(layout.slots):
            total += slot.macs if schedule.effective[step, index] else 0
    assert schedule.macs == total
    assert schedule.gmacs == total / 1e9
    full = Schedule.all_compute(layout, schedule.steps)
    assert full.macs == schedule.steps * layout.step_macs
    assert schedule.mac_fraction == pytest.approx(total / full.macs)
    assert schedule.mac_speedup == pytest.approx(full.macs / total)


def test_without_macs_the_fraction_is_the_share_of_computed_slots() -> None:
    layout = Layout("T", (Slot("b.0", "attn"), Slot("b.0", "ff")))
    schedule = Schedule(layout, [[1, 1], [1, 0], [0, 0], [0, 0]])
    assert schedule.macs == 0
    assert schedule.mac_fraction == 3 / 8
    assert schedule.mac_speedup == 8 / 3


@settings(deadline=None)
@given(schedules())
def test_resampling_to_the_same_step_count_changes_nothing(schedule: Schedule) -> None:
    assert schedule.resample(schedule.steps) == schedule


@settings(deadline=None)
@given(schedules(), st.integers(1, 30))
def test_resampled_rows_come_from_the_same_share_of_the_run(schedule: Schedule, steps: int) -> None:
    moved = schedule.resample(steps)
    assert moved.steps == steps
    for step in range(steps):
        source = int((2 * step + 1) * schedule.steps / (2 * steps))
        np.testing.assert_array_equal(moved.compute[step], schedule.effective[min(source, schedule.steps - 1)])


def test_resampling_to_twice_the_steps_doubles_each_row() -> None:
    schedule = Schedule(pixart_like(1), [[1, 1, 1], [0, 1, 0], [1, 0, 0]])
    doubled = schedule.resample(6)
    np.testing.assert_array_equal(doubled.compute, np.repeat(schedule.effective, 2, axis=0))


@settings(deadline=None)
@given(schedules())
def test_staleness_counts_the_steps_since_the_last_compute(schedule: Schedule) -> None:
    ages = staleness(schedule.effective)
    for slot in range(len(schedule.layout)):
        age = 0
        for step in range(schedule.steps):
            age = 0 if schedule.effective[step, slot] else age + 1
            assert ages[step, slot] == age


def test_a_schedule_cannot_be_changed_through_its_arrays_or_its_argument() -> None:
    bits = np.zeros((3, 3), dtype=np.bool_)
    schedule = Schedule(pixart_like(1), bits)
    before = hash(schedule)
    bits[:] = True
    for array in (schedule.compute, schedule.effective):
        with pytest.raises(ValueError, match="read-only"):
            array[1, 1] = True
    with pytest.raises(AttributeError):
        schedule.steps = 5  # type: ignore[misc]
    assert hash(schedule) == before
    assert not schedule.compute.any()


@settings(deadline=None)
@given(schedules())
def test_pickles_and_copies_are_equal(schedule: Schedule) -> None:
    for again in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule), copy.copy(schedule)):
        assert again == schedule
        np.testing.assert_array_equal(again.compute, schedule.compute)
        assert not again.compute.flags.writeable


def test_zeros_and_ones_of_any_number_type_are_bits() -> None:
    layout = pixart_like(1)
    wanted = Schedule(layout, np.array([[True, True, True], [True, False, True]]))
    for dtype in (np.uint8, np.int64, np.float32, object):
        assert Schedule(layout, np.array([[1, 1, 1], [1, 0, 1]], dtype=dtype)) == wanted


def malformed_bits() -> Iterator[object]:
    yield [[1, 1]]
    yield [1, 1, 1]
    yield np.ones((0, 3))
    yield np.ones((2, 3, 1))
    yield [[1, 1, 1], [1, 0]]
    yield [[1, 2, 0]]
    yield [[1, 0.5, 0]]
    yield [[1, float("nan"), 0]]
    yield [["1", "0", "1"]]
    yield [[None, 1, 1]]
    yield None


@pytest.mark.parametrize("bits", list(malformed_bits()), ids=str)
def test_malformed_bits_are_refused(bits: object) -> None:
    with pytest.raises(ScheduleError, match=r"A schedule's bits"):
        Schedule(pixart_like(1), bits)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [0, -1])
def test_a_schedule_has_at_least_one_step(steps: int) -> None:
    layout = pixart_like(1)
    with pytest.raises(ScheduleError, match="at least one step"):
        Schedule.all_compute(layout, steps)
    with pytest.raises(ScheduleError, match="at least one step"):
        Schedule.from_genome(layout, steps, "")
    with pytest.raises(ScheduleError, match="at least 1"):
        Schedule.all_compute(layout, 3).resample(steps)


@pytest.mark.parametrize(
    ("text", "message"), [("zz", "hexadecimal"), ("f", "hexadecimal"), ("ff", "need 4"), ("", "need 4")]
)
def test_a_genome_of_another_length_or_alphabet_is_refused(text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Schedule.from_genome(pixart_like(1), 4, text)


def test_the_representation_names_model_and_size() -> None:
    text = repr(Schedule.all_compute(pixart_like(2), 4))
    assert text == "Schedule(PixArtTransformer2DModel, steps=4, slots=6, mac_fraction=1.000)"


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 6), st.just(6))))
def test_an_output_is_held_until_its_last_reader(compute: Bits) -> None:
    schedule = Schedule(flux_like(), compute)
    for step, slot in np.argwhere(schedule.effective):
        reader = schedule.layout.reader_index[slot]
        stale = [
            later
            for later in range(step + 1, schedule.steps)
            if not schedule.effective[step + 1 : later + 1, slot].any()
        ]
        readers = [later for later in stale if reader < 0 or schedule.effective[later, reader]]
        assert schedule.last_read[step, slot] == max(readers, default=-1)


def test_work_on_the_text_counts_once_in_a_run() -> None:
    slots = (Slot("b", "attn2", macs=10, text_macs=4), Slot("b", "ff", macs=7))
    layout = Layout("T", slots, constant_macs=5, text_macs=2)
    schedule = Schedule(layout, [[1, 1], [0, 1], [1, 0], [1, 0]])
    assert schedule.macs == 4 * 5 + 3 * 10 + 2 * 7
    assert schedule.run_macs == 2 + 4 * 3 + 4 + 3 * 6 + 2 * 7


def test_the_cache_is_as_large_as_what_is_held_at_most() -> None:
    slots = (Slot("b", "attn1", elements=100), Slot("b", "ff", elements=10))
    layout = Layout("T", slots)
    assert Schedule(layout, [[1, 1], [0, 1], [1, 0]]).cache_elements == 100
    assert Schedule(layout, [[1, 1], [1, 1], [0, 0]]).cache_elements == 110
    assert Schedule.all_compute(layout, 3).cache_elements == 0
