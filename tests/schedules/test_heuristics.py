from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecad_automl.errors import ScheduleError
from ecad_automl.schedules.ecad_macs import ecad_layout
from ecad_automl.schedules.heuristics import default_heuristics, fora, pab, random_bands, tgate
from ecad_automl.schedules.layout import Layout, Slot
from ecad_automl.schedules.schedule import Schedule

PIXART = ecad_layout(28, 0)
FLUX = ecad_layout(19, 38)
SMALL = ecad_layout(2, 0)


def steps_of(schedule: Schedule, component: str) -> list[int]:
    """The steps at which all blocks compute a component; all blocks must agree."""
    rows = schedule.effective[:, schedule.layout.component_index == schedule.layout.components.index(component)]
    assert (rows.all(axis=1) == rows.any(axis=1)).all()
    return np.flatnonzero(rows[:, 0]).tolist()


def test_all_compute_computes_all() -> None:
    assert Schedule.all_compute(PIXART, 20).effective.all()


def test_fora_computes_everything_every_n_steps() -> None:
    schedule = fora(PIXART, 20, 3)
    for component in PIXART.components:
        assert steps_of(schedule, component) == [0, 3, 6, 9, 12, 15, 18]
    assert fora(PIXART, 20, 1) == Schedule.all_compute(PIXART, 20)
    assert int(fora(PIXART, 20, 99).effective.sum()) == len(PIXART)


def test_fora_of_some_components_computes_the_others_always() -> None:
    schedule = fora(PIXART, 5, 2, components=["attn1", "attn2"])
    assert steps_of(schedule, "attn1") == steps_of(schedule, "attn2") == [0, 2, 4]
    assert steps_of(schedule, "ff") == [0, 1, 2, 3, 4]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 12))
def test_fora_macs_follow_from_the_count_of_computed_steps(steps: int, n: int) -> None:
    computed = -(-steps // n)
    schedule = fora(FLUX, steps, n)
    assert schedule.macs == steps * FLUX.constant_macs + computed * int(FLUX.slot_macs.sum())


def test_tgate_freezes_cross_attention_from_the_gate_on() -> None:
    schedule = tgate(PIXART, 12, 7, self_interval=3)
    assert steps_of(schedule, "attn2") == [0, 1, 2, 3, 4, 5, 6]
    assert steps_of(schedule, "attn1") == [0, 1, 3, 6, 7, 8, 9, 10, 11]  # two of warm-up, multiples of 3, then all
    assert steps_of(schedule, "ff") == list(range(12))


def test_tgate_without_interval_and_gate_is_all_compute() -> None:
    assert tgate(PIXART, 9, 9) == Schedule.all_compute(PIXART, 9)
    assert steps_of(tgate(PIXART, 4, 1, warmup=0), "attn2") == [0]


def test_tgate_needs_a_cross_attention() -> None:
    with pytest.raises(ScheduleError, match=r"'attn2'.*FluxTransformer2DModel does not have.*proj_mlp"):
        tgate(FLUX, 20, 10)


def test_pab_reuses_each_component_over_its_own_range_inside_the_window() -> None:
    schedule = pab(PIXART, 20, {"attn2": 6, "attn1": 4, "ff": 2}, window=(0.15, 0.85))
    outside = [0, 1, 2, 17, 18, 19]
    assert steps_of(schedule, "attn2") == sorted([*outside, 6, 12])
    assert steps_of(schedule, "attn1") == sorted([*outside, 4, 8, 12, 16])
    assert steps_of(schedule, "ff") == sorted([*outside, 4, 6, 8, 10, 12, 14, 16])


def test_pab_computes_components_that_have_no_range() -> None:
    schedule = pab(PIXART, 10, {"attn2": 5}, window=(0, 1))
    assert steps_of(schedule, "attn2") == [0, 5]
    assert steps_of(schedule, "attn1") == list(range(10))
    assert pab(PIXART, 10, {}) == Schedule.all_compute(PIXART, 10)


@settings(deadline=None)
@given(
    layout=st.sampled_from([PIXART, FLUX, SMALL]),
    steps=st.integers(1, 25),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
    band=st.integers(1, 40),
)
def test_random_bands_keep_the_share_in_every_slot(
    layout: Layout, steps: int, share: float, seed: int, band: int
) -> None:
    schedule = random_bands(layout, steps, share, seed=seed, band=band)
    np.testing.assert_array_equal(schedule.effective.sum(axis=0), max(1, round(share * steps)))
    assert random_bands(layout, steps, share, seed=seed, band=band) == schedule


def test_random_bands_agree_inside_a_band_and_differ_between_bands_and_seeds() -> None:
    schedule = random_bands(PIXART, 20, 0.5, seed=3, band=7)
    attn1 = schedule.compute[:, PIXART.component_index == 0]
    assert all((attn1[:, 7 * band : 7 * band + 7] == attn1[:, [7 * band]]).all() for band in range(4))
    assert len({attn1[:, 7 * band].tobytes() for band in range(4)}) == 4
    assert random_bands(PIXART, 20, 0.5, seed=4, band=7) != schedule


@pytest.mark.parametrize("layout", [PIXART, FLUX, SMALL], ids=["pixart", "flux", "small"])
@pytest.mark.parametrize("steps", [10, 20, 50])
def test_the_default_set_has_ten_to_fourteen_distinct_schedules(layout: Layout, steps: int) -> None:
    named = default_heuristics(layout, steps)
    assert 10 <= len(named) <= 14
    assert len(set(named.values())) == len(named)
    assert next(iter(named)) == "all-compute"
    assert {schedule.steps for schedule in named.values()} == {steps}
    assert {schedule.layout for schedule in named.values()} == {layout}
    fractions = [schedule.mac_fraction for schedule in named.values()]
    assert max(fractions) == 1.0
    assert min(fractions) < 0.3
    assert default_heuristics(layout, steps) == named


def test_the_default_set_has_tgate_where_there_is_cross_attention() -> None:
    assert {name for name in default_heuristics(PIXART, 20) if "tgate" in name} == {
        "tgate-m10-k1",
        "tgate-m10-k3",
    }
    assert not any("tgate" in name for name in default_heuristics(FLUX, 20))


@settings(deadline=None)
@given(layout=st.sampled_from([PIXART, FLUX, SMALL]), steps=st.integers(1, 6))
def test_the_default_set_shrinks_with_the_run_but_stays_distinct(layout: Layout, steps: int) -> None:
    named = default_heuristics(layout, steps)
    assert len(set(named.values())) == len(named) >= 1
    assert named["all-compute"] == Schedule.all_compute(layout, steps)


def test_a_layout_without_attention_has_a_default_set() -> None:
    layout = Layout("T", tuple(Slot(f"blocks.{block}", "mixer") for block in range(4)))
    assert {"all-compute", "fora-2", "random-50"} <= set(default_heuristics(layout, 10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fora(PIXART, 20, 0), "0 for n,"),
        (lambda: fora(PIXART, 0, 2), "0 for steps"),
        (lambda: fora(PIXART, 20, 2, components=["attn"]), "no component 'attn'; its components are attn1, attn2, ff"),
        (lambda: tgate(PIXART, 20, 0), "gate step is 0, but must be from 1 to the 20 steps"),
        (lambda: tgate(PIXART, 20, 21), "gate step is 21"),
        (lambda: tgate(PIXART, 20, 5, self_interval=0), "0 for self_interval"),
        (lambda: tgate(PIXART, 20, 5, warmup=-1), "-1 for warmup"),
        (lambda: tgate(PIXART, -2, 5), "-2 for steps"),
        (lambda: pab(PIXART, 20, {"attn1": 0}), "0 for the range of 'attn1'"),
        (lambda: pab(PIXART, 20, {"mlp": 2}), "no component 'mlp'"),
        (lambda: pab(PIXART, 20, {}, window=(0.9, 0.1)), "window of reuse"),
        (lambda: pab(PIXART, 20, {}, window=(0.1, 1.5)), "window of reuse"),
        (lambda: random_bands(PIXART, 20, 1.5, seed=0), "share of computes is 1.5"),
        (lambda: random_bands(PIXART, 20, float("nan"), seed=0), "share of computes is nan"),
        (lambda: random_bands(PIXART, 20, 0.5, seed=0, band=0), "0 for band"),
        (lambda: default_heuristics(PIXART, 0), "at least one step"),
    ],
)
def test_senseless_arguments_are_refused(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        make()
