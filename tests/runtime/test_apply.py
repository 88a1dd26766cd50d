from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from torch.testing import assert_close

from ecad_automl.errors import CacheStateError, ScheduleError
from ecad_automl.runtime import apply_schedule
from ecad_automl.schedules.schedule import Schedule
from ecad_automl.schedules.schedule_file import save_schedule

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference


@pytest.mark.conformance("all-compute")
def test_all_compute_is_bit_identical(case: Case) -> None:
    before = case.generate(images=2)
    with apply_schedule(case.pipe, Schedule.all_compute(case.layout, 4)):
        assert torch.equal(case.generate(images=2), before)


@pytest.mark.conformance("definition")
@pytest.mark.parametrize("seed", range(2))
def test_random_schedules_do_what_the_definition_says(case: Case, reference: Reference, seed: int) -> None:
    schedule = case.random_schedule(seed, steps=5, share=(0.2, 0.5)[seed])
    expected = reference(case, schedule, lambda: case.generate(steps=5, images=2))
    with apply_schedule(case.pipe, schedule, fuse=False):
        assert torch.equal(case.generate(steps=5, images=2), expected)
    with apply_schedule(case.pipe, schedule):
        assert_close(case.generate(steps=5, images=2), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert not torch.equal(case.generate(steps=5, images=2), expected)


@pytest.mark.conformance("forecasts and skips")
def test_forecasts_and_skipped_steps_do_what_the_definition_says(case: Case, reference: Reference) -> None:
    schedule = case.random_forecasts(0)
    assert schedule.skip.any()
    assert schedule.forecast[:, :-1].any()
    expected = reference(case, schedule, lambda: case.generate(steps=6, images=2))
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        assert torch.equal(case.generate(steps=6, images=2), expected)
        assert torch.equal(case.generate(steps=6, images=2), expected)
        assert handle.cache_bytes() == 0
    with apply_schedule(case.pipe, schedule):
        assert_close(case.generate(steps=6, images=2), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_flux_projections_can_be_refreshed_while_their_reader_is_reused(flux: Case, reference: Reference) -> None:
    layout = flux.layout
    compute = np.zeros((5, len(layout)), dtype=bool)
    for slot in layout.slots:
        column = layout.slots.index(slot)
        # Refreshed at step 2 without a reader; read at step 4.
        compute[2, column] = slot.reader is not None
        compute[4, column] = slot.component == "proj_out"
    schedule = Schedule(layout, compute)
    expected = reference(flux, schedule, lambda: flux.generate(steps=5))
    with apply_schedule(flux.pipe, schedule, fuse=False):
        assert torch.equal(flux.generate(steps=5), expected)
    without = Schedule(layout, compute & (np.arange(5) != 2)[:, None])
    assert not torch.equal(reference(flux, without, lambda: flux.generate(steps=5)), expected)


@pytest.mark.parametrize("steps", [2, 9])
def test_any_number_of_steps_works(case: Case, reference: Reference, steps: int) -> None:
    schedule = case.random_schedule(3, steps=steps)
    expected = reference(case, schedule, lambda: case.generate(steps=steps))
    with apply_schedule(case.pipe, schedule, fuse=False):
        assert torch.equal(case.generate(steps=steps), expected)


def test_a_run_of_one_step_works(flux: Case) -> None:
    before = flux.generate(steps=1)
    with apply_schedule(flux.pipe, flux.random_schedule(0, steps=1)):
        for _ in range(2):
            assert torch.equal(flux.generate(steps=1), before)


@pytest.mark.conformance("batch and size")
def test_a_run_depends_on_no_run_before(case: Case, reference: Reference) -> None:
    schedule = case.random_schedule(7)
    with apply_schedule(case.pipe, schedule, fuse=False):
        first = case.generate()
        wide = case.generate(images=3, seed=1, width=case.size)
        again = case.generate()
    assert torch.equal(first, again)
    assert torch.equal(first, reference(case, schedule, case.generate))
    assert torch.equal(wide, reference(case, schedule, lambda: case.generate(images=3, seed=1, width=case.size)))


def test_a_pipeline_that_ran_before_can_be_put_under_a_schedule(case: Case, reference: Reference) -> None:
    case.generate()
    schedule = case.random_schedule(8)
    expected = reference(case, schedule, case.generate)
    with apply_schedule(case.pipe, schedule, fuse=False):
        assert torch.equal(case.generate(), expected)


def test_schedules_can_follow_each_other(case: Case, reference: Reference) -> None:
    for seed in range(3):
        schedule = case.random_schedule(seed)
        with apply_schedule(case.pipe, schedule, fuse=False) as handle:
            assert handle.schedule is schedule
            images = case.generate()
        assert torch.equal(images, reference(case, schedule, case.generate))


@pytest.mark.parametrize(
    "kind",
    [
        DDIMScheduler,
        DDPMScheduler,
        EulerDiscreteScheduler,
        HeunDiscreteScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    ],
)
def test_every_kind_of_scheduler_is_followed_step_by_step(pixart: Case, reference: Reference, kind: type) -> None:
    scheduler = kind(skip_prk_steps=True) if kind is PNDMScheduler else kind()
    pixart.pipe.scheduler = scheduler
    scheduler.set_timesteps(4)
    forwards = len(scheduler.timesteps)  # 5 for PNDM, 7 for Heun
    schedule = pixart.random_schedule(5, steps=forwards)
    expected = reference(pixart, schedule, pixart.generate)
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        for _ in range(2):
            assert torch.equal(pixart.generate(), expected)


def test_the_scheduler_may_be_replaced_between_runs(pixart: Case, reference: Reference) -> None:
    schedule = pixart.random_schedule(6)
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        pixart.generate()
        pixart.pipe.scheduler = EulerDiscreteScheduler()
        images = pixart.generate()
    assert torch.equal(images, reference(pixart, schedule, pixart.generate))


@pytest.mark.every_family
def test_every_block_is_recorded(case: Case) -> None:
    schedule = case.random_schedule(4, steps=2)
    with apply_schedule(case.pipe, schedule) as handle:
        case.generate(steps=2)
        assert handle.whole_blocks == {}


def test_what_was_prepared_serves_the_next_schedule(case: Case) -> None:
    first, second = case.random_schedule(1), case.random_schedule(2)
    with apply_schedule(case.pipe, second, keep_text=False, cache_dtype=torch.bfloat16):
        expected = case.generate()
    with apply_schedule(case.pipe, first, keep_text=False, cache_dtype=torch.bfloat16) as handle:
        case.generate()
    with (
        mock.patch("ecad_automl.runtime.scheduled.record", side_effect=AssertionError("recorded again")),
        handle.switch(second),
    ):
        assert torch.equal(case.generate(), expected)


def test_a_handle_in_force_takes_another_schedule(case: Case, tmp_path: Path) -> None:
    # Steps in which nothing is computed take a hook of their own.
    first, second = (
        Schedule(case.layout, each.compute | (np.arange(len(case.layout)) == 0))
        for each in (case.random_schedule(1), case.random_schedule(2, steps=3))
    )
    with apply_schedule(case.pipe, first):
        expected = case.generate()
    with apply_schedule(case.pipe, second) as handle:
        shorter = case.generate(steps=3)
        hooked = dict(vars(case.pipe.transformer))
        save_schedule(tmp_path / "first.json", first)
        assert handle.switch(tmp_path / "first.json") is handle
        assert vars(case.pipe.transformer) == hooked
        assert handle.schedule == first
        with mock.patch("ecad_automl.runtime.scheduled.record", side_effect=AssertionError("recorded again")):
            assert torch.equal(case.generate(), expected)
            handle.switch(second)
            assert torch.equal(case.generate(steps=3), shorter)
            with pytest.raises(ScheduleError, match="has 3 steps"):
                case.generate()


def test_a_schedule_of_another_layout_changes_nothing(pixart: Case, flux: Case) -> None:
    schedule = pixart.random_schedule(1)
    with apply_schedule(pixart.pipe, schedule) as handle:
        expected = pixart.generate()
        with pytest.raises(ScheduleError, match="does not fit this pipeline"):
            handle.switch(flux.random_schedule(1))
        assert handle.schedule is schedule
        assert torch.equal(pixart.generate(), expected)


def test_a_switch_in_the_middle_of_a_run_is_an_error(flux: Case) -> None:
    other = flux.random_schedule(2)
    with apply_schedule(flux.pipe, flux.random_schedule(1)) as handle:

        def switch(_pipe: object, step: int, _time: object, _tensors: dict[str, Any]) -> dict[str, Any]:
            if step == 1:
                handle.switch(other)
            return {}

        with pytest.raises(CacheStateError, match="is called for step 2"):
            flux.generate(callback_on_step_end=switch)
        flux.generate()


def test_modules_replaced_between_handles_are_seen(pixart: Case) -> None:
    schedule = pixart.random_schedule(1)
    with apply_schedule(pixart.pipe, schedule) as handle:
        before = pixart.generate()
    block = pixart.pipe.transformer.transformer_blocks[0]
    block.norm1 = torch.nn.LayerNorm(16, elementwise_affine=False, eps=1.0)
    with apply_schedule(pixart.pipe, schedule):
        expected = pixart.generate()
    with handle.switch(schedule):
        assert torch.equal(pixart.generate(), expected)
    assert not torch.equal(expected, before)
