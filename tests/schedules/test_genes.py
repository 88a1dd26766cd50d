"""Schedules as grids of bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import EcadError, ScheduleError
from ecad_automl.schedules.genes import GUIDANCE_BITS, actions_of, gene_columns, level_bits, levels_of
from ecad_automl.schedules.genomes import Genomes
from ecad_automl.schedules.guidance import BOTH, KEEP, NONE
from ecad_automl.schedules.schedule import Schedule
from tests.schedules.test_forecast import COLUMNS, LAYOUT, STEPS, drift_of, forecasts, outputs

SLOTS = len(LAYOUT)
FORECASTS = forecasts(outputs())


def random_schedule(seed: int, plain: bool = False) -> Schedule:
    rng = np.random.default_rng(seed)
    compute = rng.random((STEPS, SLOTS)) < rng.random()
    if plain:
        return Schedule(LAYOUT, compute)
    return Schedule(LAYOUT, compute, rng.random(STEPS) < 0.3, rng.integers(0, 4, (STEPS, COLUMNS)), FORECASTS)


def test_levels_are_in_gray_code() -> None:
    levels = np.arange(4)[:, None]
    bits = level_bits(levels)
    assert levels_of(bits).tolist() == levels.tolist()
    assert (bits[1:] != bits[:-1]).sum(axis=1).tolist() == [1, 1, 1]


@given(st.integers(0, 2**32), st.booleans())
def test_genes_make_the_same_schedule_again(seed: int, plain: bool) -> None:
    schedule = random_schedule(seed, plain)
    genes = schedule.genes[None]
    assert genes.shape == (1, STEPS, gene_columns(SLOTS, COLUMNS - 1))
    compute, skip, damping, guidance = (each[0] for each in actions_of(genes, SLOTS))
    again = Schedule(LAYOUT, compute, skip, damping, FORECASTS, guidance)
    assert again == schedule
    assert np.array_equal(again.genes[None], genes)


@given(st.integers(0, 2**32))
def test_genes_of_guidance_make_the_same_schedule_again(seed: int) -> None:
    rng = np.random.default_rng(seed)
    of_slots = random_schedule(seed)
    actions = rng.integers(0, NONE + 1, STEPS) * (rng.random(STEPS) < rng.random())
    schedule = Schedule(LAYOUT, of_slots.compute, of_slots.skip, of_slots.damping, FORECASTS, actions)
    genes = schedule.guided_genes[None]
    assert genes.shape == (1, STEPS, gene_columns(SLOTS, COLUMNS - 1, guided=True))
    found = actions_of(genes, SLOTS, guided=True)
    compute, skip, damping, guidance = (each[0] for each in found)
    again = Schedule(LAYOUT, compute, skip, damping, FORECASTS, guidance)
    assert again == schedule
    assert np.array_equal(again.guided_genes[None], genes)
    assert np.array_equal(found.alone[0], schedule.guidance.alone)


def test_what_begins_to_keep_a_difference_is_damped_as_before_or_after() -> None:
    actions = np.array([BOTH, BOTH, KEEP + 2, BOTH, BOTH, KEEP + 1, BOTH, NONE, BOTH])
    genes = Schedule(LAYOUT, np.ones((STEPS, SLOTS), bool), None, None, FORECASTS, actions).guided_genes[None]
    genes[0, [3, 6, 8], -GUIDANCE_BITS] = False
    found = actions_of(genes, SLOTS, guided=True).guidance[0]
    assert found.tolist() == [BOTH, BOTH, KEEP + 2, KEEP + 2, BOTH, KEEP + 1, KEEP + 1, NONE, NONE]


@given(st.integers(0, 2**32))
def test_bits_of_slots_alone_reuse(seed: int) -> None:
    schedule = random_schedule(seed, plain=True)
    compute, skip, damping, guidance = actions_of(schedule.effective[None], SLOTS)
    assert not guidance.any()
    assert np.array_equal(compute[0], schedule.effective)
    assert not skip.any()
    assert not damping.any()


def test_a_skipped_step_that_is_run_computes_all() -> None:
    skip = np.arange(STEPS) == 3
    genes = Schedule(LAYOUT, np.ones((STEPS, SLOTS), bool), skip).genes[None]
    genes[0, 3, SLOTS] = False
    found = actions_of(genes, SLOTS)
    assert found.compute.all()
    assert not found.skip.any()


def test_what_begins_to_use_the_cache_is_damped_as_before_or_after() -> None:
    compute = np.ones((STEPS, SLOTS), bool)
    compute[3, 0] = compute[6, 0] = False
    levels = np.zeros((STEPS, COLUMNS), int)
    levels[3, 0], levels[6, 0] = 2, 1
    genes = Schedule(LAYOUT, compute, None, levels, FORECASTS).genes[None]
    assert actions_of(genes, SLOTS).damping[0, :, 0].tolist() == [2, 2, 2, 2, 2, 2, 1, 1, 1]


class TestGenomes:
    def test_read_by_the_drift_of_the_study(self) -> None:
        schedule = random_schedule(3)
        found = Genomes(LAYOUT, STEPS, drift_of(outputs()).to_bytes).schedule(schedule.to_genome())
        assert found == schedule

    def test_plain_ones_need_none(self) -> None:
        schedule = random_schedule(3, plain=True)
        assert Genomes(LAYOUT, STEPS).schedule(schedule.to_genome()) == schedule

    @pytest.mark.parametrize("drift", [None, b"damaged"])
    def test_others_say_that_it_is_missing(self, drift: bytes | None) -> None:
        with pytest.raises(ScheduleError if drift is None else EcadError, match="drift"):
            Genomes(LAYOUT, STEPS, lambda: drift).schedule(random_schedule(3).to_genome())
