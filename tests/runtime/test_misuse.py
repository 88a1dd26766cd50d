"""Every way of using a schedule that would give wrong images is an error that says what to do."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig, HeunDiscreteScheduler
from diffusers.hooks import HookRegistry
from torch.testing import assert_close

from ecad_automl.errors import CacheStateError, ScheduleError
from ecad_automl.runtime import apply_schedule, measure_drift
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


class Wrapper(torch.nn.Module):
    """What an adapter puts around a module."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


@pytest.mark.every_family
def test_another_number_of_steps_is_refused_by_both_numbers(case: Case) -> None:
    with (
        apply_schedule(case.pipe, case.random_schedule(0, steps=4)),
        pytest.raises(ScheduleError, match=r"The schedule has 4 steps, but .*Scheduler is set to 6"),
    ):
        case.generate(steps=6)


def test_second_order_schedulers_need_a_step_per_forward(pixart: Case) -> None:
    pixart.pipe.scheduler = HeunDiscreteScheduler()
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(0, steps=4)),
        pytest.raises(ScheduleError, match="has 4 steps, but HeunDiscreteScheduler is set to 7"),
    ):
        pixart.generate(steps=4)


def test_a_schedule_for_another_depth_is_refused(case: Case) -> None:
    layout = Layout(case.layout.transformer, case.layout.slots[:1])
    with pytest.raises(ScheduleError, match=f"it is for 1 blocks, not {len(case.layout.blocks)}"):
        apply_schedule(case.pipe, Schedule.all_compute(layout, 4))


def test_a_schedule_for_another_model_is_refused(pixart: Case, flux: Case) -> None:
    with pytest.raises(ScheduleError, match="it is for FluxTransformer2DModel, not PixArtTransformer2DModel"):
        apply_schedule(pixart.pipe, flux.random_schedule(0))


def test_a_second_schedule_is_refused(case: Case) -> None:
    schedule = case.random_schedule(0)
    with apply_schedule(case.pipe, schedule):
        expected = case.generate()
        with pytest.raises(CacheStateError, match="already under a schedule"):
            apply_schedule(case.pipe, case.random_schedule(1))
        assert torch.equal(case.generate(), expected)


def test_another_pipeline_on_the_same_transformer_is_refused_a_second_schedule(case: Case) -> None:
    other = type(case.pipe)(**case.pipe.components)
    with (
        apply_schedule(case.pipe, case.random_schedule(0)),
        pytest.raises(CacheStateError, match="already under a schedule"),
    ):
        apply_schedule(other, case.random_schedule(0))


def test_a_batch_that_changes_during_a_run_is_refused(flux: Case) -> None:
    def halve(_pipe: Any, step: int, _timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        return {"latents": values["latents"][:1]} if step == 1 else values

    with (
        apply_schedule(flux.pipe, flux.random_schedule(3, share=0.1)),
        pytest.raises(CacheStateError, match=r"changed its shape from \(2, 8, 8\) to \(1, 8, 8\) at step 2"),
    ):
        flux.generate(images=2, callback_on_step_end=halve)


def test_a_run_that_leaves_out_steps_cannot_be_measured(pixart: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = pixart.pipe.scheduler
    begin = scheduler.set_begin_index
    monkeypatch.setattr(scheduler, "set_begin_index", lambda _index: begin(2))
    with pytest.raises(CacheStateError, match="begins at step 2 of 4, .* and a whole run is needed"):
        measure_drift(pixart.pipe, pixart.generate, steps=4)


def test_a_schedule_applied_in_the_middle_of_a_run_is_refused(pixart: Case) -> None:
    handles = []

    def apply(step: int, *_: Any) -> None:
        if step == 1:
            handles.append(apply_schedule(pixart.pipe, pixart.random_schedule(3)))

    with pytest.raises(CacheStateError, match="called for step 2, but the guidance branch number 1 had none before"):
        pixart.generate(callback=apply, callback_steps=1)
    handles[0].remove()


@pytest.mark.every_family
def test_another_pipeline_that_shares_the_transformer_is_refused(case: Case) -> None:
    other = type(case.pipe)(**{**case.pipe.components, "scheduler": copy.deepcopy(case.pipe.scheduler)})
    other.set_progress_bar_config(disable=True)
    mine = case.pipe
    with apply_schedule(mine, case.random_schedule(3)):
        expected = case.generate()
        case.pipe = other
        with pytest.raises(CacheStateError, match="another pipeline"):
            case.generate()
        case.pipe = mine
        assert torch.equal(case.generate(), expected)


def test_another_pipeline_that_runs_when_this_one_has_only_set_its_steps_is_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a race of two threads, where all calls of the other come before the first of this one."""
    other = type(case.pipe)(**{**case.pipe.components, "scheduler": copy.deepcopy(case.pipe.scheduler)})
    other.set_progress_bar_config(disable=True)
    mine, set_timesteps = case.pipe, case.pipe.scheduler.set_timesteps

    @functools.wraps(set_timesteps)
    def set_and_wait(*args: Any, **kwargs: Any) -> None:
        set_timesteps(*args, **kwargs)
        raise InterruptedError

    with apply_schedule(mine, case.random_schedule(3)):
        expected = case.generate()
        monkeypatch.setattr(mine.scheduler, "set_timesteps", set_and_wait)
        with pytest.raises(InterruptedError):
            case.generate()
        monkeypatch.undo()
        case.pipe = other
        with pytest.raises(CacheStateError, match="another one that shares its transformer"):
            case.generate()
        case.pipe = mine
        assert torch.equal(case.generate(), expected)


def test_chunked_feed_forward_is_refused(pixart: Case) -> None:
    for block in pixart.pipe.transformer.transformer_blocks:
        block.set_chunk_feed_forward(8, dim=1)
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(3)),
        pytest.raises(CacheStateError, match=r"blocks\.0\.ff was called more than 1 times .* chunked"),
    ):
        pixart.generate()


def test_a_block_called_on_its_own_is_refused(case: Case) -> None:
    with (
        apply_schedule(case.pipe, case.random_schedule(3)),
        pytest.raises(CacheStateError, match="call the transformer itself"),
    ):
        case.pipe.transformer.get_submodule(case.layout.blocks[0])(torch.zeros(1, 4, 16))


def test_a_component_called_on_its_own_is_itself(case: Case) -> None:
    component = case.pipe.transformer.get_submodule(case.layout.slots[0].name)
    inputs: dict[str, Any] = {}
    hook = component.register_forward_pre_hook(
        lambda _, args, kwargs: inputs.update(args=args, kwargs=kwargs), with_kwargs=True
    )
    case.generate()
    hook.remove()
    before = component(*inputs["args"], **inputs["kwargs"])
    with apply_schedule(case.pipe, case.random_schedule(3)):
        assert_close(component(*inputs["args"], **inputs["kwargs"]), before, rtol=0, atol=0)


def test_components_may_be_wrapped_after_applying(case: Case) -> None:
    slot = case.layout.slots[-1]
    block = case.pipe.transformer.get_submodule(slot.block)
    real = getattr(block, slot.component)
    with apply_schedule(case.pipe, case.random_schedule(3)):
        expected = case.generate()
        setattr(block, slot.component, Wrapper(real))
        assert torch.equal(case.generate(), expected)
        setattr(block, slot.component, real)
        assert torch.equal(case.generate(), expected)


def test_blocks_replaced_after_applying_are_noticed(case: Case) -> None:
    parent, _, index = case.layout.blocks[-1].rpartition(".")
    blocks = case.pipe.transformer.get_submodule(parent)
    real = blocks[int(index)]
    other = copy.deepcopy(real)
    with apply_schedule(case.pipe, case.random_schedule(3)):
        blocks[int(index)] = other
        with pytest.raises(CacheStateError, match="replaced after the schedule was applied"):
            case.generate()
        blocks[int(index)] = real
        case.generate()


def test_blocks_skipped_by_others_are_noticed(pixart: Case) -> None:
    blocks = pixart.pipe.transformer.transformer_blocks
    with apply_schedule(pixart.pipe, pixart.random_schedule(3)):
        blocks[-1].forward = lambda hidden, **_: hidden
        with pytest.raises(CacheStateError, match="Only 1 of the 2 blocks"):
            pixart.generate()


def test_a_cache_of_diffusers_is_not_combined_with_a_schedule(flux: Case) -> None:
    flux.pipe.transformer.enable_cache(FirstBlockCacheConfig())
    with pytest.raises(CacheStateError, match="disable_cache"):
        apply_schedule(flux.pipe, flux.random_schedule(3))
    flux.pipe.transformer.disable_cache()
    with apply_schedule(flux.pipe, flux.random_schedule(3)):
        flux.pipe.transformer.enable_cache(FirstBlockCacheConfig())
        with pytest.raises(CacheStateError, match="disable_cache"):
            flux.generate()


def test_cache_dit_is_not_combined_with_a_schedule(pixart: Case) -> None:
    schedule = pixart.random_schedule(3)
    with apply_schedule(pixart.pipe, schedule):
        pixart.pipe.transformer._is_cached = True  # as cache-dit marks it
        with pytest.raises(CacheStateError, match="cache_dit.disable_cache"):
            pixart.generate()
    with pytest.raises(CacheStateError, match="cache_dit.disable_cache"):
        apply_schedule(pixart.pipe, schedule)
    del pixart.pipe.transformer._is_cached
    with apply_schedule(pixart.pipe, schedule):
        pixart.generate()


def test_a_foreign_hook_that_drops_ours_is_noticed(pixart: Case) -> None:
    # diffusers' remove_hook forgets the hook above the removed one.
    from diffusers.hooks import ModelHook

    registry = HookRegistry.check_if_exists_or_initialize(pixart.pipe.transformer.transformer_blocks[0])
    registry.register_hook(ModelHook(), "below")
    with apply_schedule(pixart.pipe, pixart.random_schedule(3)):
        registry.remove_hook("below")
        with pytest.raises(CacheStateError, match=r"Only 1 of the 2 blocks"):
            pixart.generate()
