"""Steps that are skipped, and outputs that are forecast; that they are what the definition says, test_apply tests."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from diffusers import DDIMScheduler, HeunDiscreteScheduler, UniPCMultistepScheduler

from ecad_automl.errors import CacheStateError
from ecad_automl.runtime import Prefixes, apply_schedule
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.test_guidance import denoise
from tests.runtime.test_memory import after_each_step, output_bytes
from tests.runtime.test_removal import everything_on

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference

STEPS = 6


def skipping(case: Case, skip: list[int], steps: int = 4, level: int = 0) -> Schedule:
    """Computes everything in the steps that it does not skip."""
    levels = np.full((steps, len(case.layout.components) + 1), level)
    weights = np.tile([1.7, -0.6], (steps, len(case.layout) + 1, 1))
    skipped = np.isin(np.arange(steps), skip)
    return Schedule(case.layout, np.ones((steps, len(case.layout)), dtype=bool), skipped, levels, weights)


def test_the_transformer_is_not_entered_in_a_skipped_step(case: Case) -> None:
    entered: Counter[str] = Counter()
    transformer = case.pipe.transformer
    for name, module in transformer.named_modules():
        if name:
            module.register_forward_pre_hook(lambda *_, name=name: entered.update([name]))
    case.generate(steps=2)
    once = {name: count // 2 for name, count in entered.items()}
    entered.clear()
    with apply_schedule(case.pipe, skipping(case, [1, 3]), keep_text=False):
        case.generate()
    assert entered == {name: 2 * count for name, count in once.items()}


def test_a_skipped_step_takes_the_output_of_the_last_or_forecasts_it(case: Case) -> None:
    """Against outputs that the test itself gives to the pipeline."""
    given: list[torch.Tensor] = []

    def note(_module: object, _args: object, output: Any) -> None:
        first = output[0]
        given.append(first[0].clone() if isinstance(first, list) else first.clone())

    with case.pipe.transformer.register_forward_hook(note):
        for level in (0, 3):
            given.clear()
            with apply_schedule(case.pipe, skipping(case, [2], level=level)):
                case.generate()
            branches = case.calls_per_step
            for branch in range(branches):
                before, last, forecast = (given[step * branches + branch] for step in range(3))
                expected = 1.7 * last - 0.6 * before if level else last
                torch.testing.assert_close(forecast, expected)


def test_only_outputs_that_are_still_to_be_read_are_held(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = case.pipe.transformer
    given: list[int] = []
    with transformer.register_forward_hook(lambda _m, _a, output: given.append(output[0].numel() * 4)):
        sizes = np.append(output_bytes(case), sum(given) // 4)
    for seed in range(3):
        schedule = case.random_forecasts(seed, steps=4)
        readers: list[set[tuple[int, int]]] = [set() for _ in range(4)]  # by step: outputs that are read in it
        for row in range(len(sizes)):
            history: list[int] = []
            for step in range(4):
                ran = not schedule.skip[step] if row == len(sizes) - 1 else schedule.effective[step, row]
                if schedule.used[step, row]:
                    count = 2 if schedule.forecast[step, row] else 1
                    readers[step] |= {(row, source) for source in history[-count:]}
                if ran:
                    history.append(step)
        expected = [
            sum(sizes[row] for row, source in set().union(*readers[step + 1 :]) if source <= step) for step in range(4)
        ]
        with apply_schedule(case.pipe, schedule) as handle:
            assert after_each_step(case, monkeypatch, handle.cache_bytes) == expected
            assert handle.cache_bytes() == 0


def test_outputs_kept_in_half_the_memory_do_not_make_the_transformers_coarser(pixart: Case) -> None:
    schedule = skipping(pixart, [2, 3], level=3)
    with apply_schedule(pixart.pipe, schedule):
        expected = pixart.generate()
    with apply_schedule(pixart.pipe, schedule, cache_dtype=torch.bfloat16):
        assert torch.equal(pixart.generate(), expected)


def test_nothing_is_left_on_the_model(case: Case) -> None:
    transformer = case.pipe.transformer
    schedule = case.random_forecasts(0)
    before = everything_on(transformer)
    with apply_schedule(case.pipe, schedule):
        case.generate(steps=STEPS)
        assert everything_on(transformer) != before
    assert everything_on(transformer) == before


@pytest.mark.parametrize("offload_first", [True, False])
def test_model_offload_may_rehook_the_transformer_between_runs(
    case: Case, reference: Reference, offload_first: bool
) -> None:
    transformer = case.pipe.transformer
    schedule = case.random_forecasts(1)
    expected = reference(case, schedule, lambda: case.generate(steps=STEPS))
    plain = case.generate(steps=STEPS)
    if offload_first:
        add_hook_to_module(transformer, ModelHook())
    handle = apply_schedule(case.pipe, schedule, fuse=False)
    if not offload_first:
        add_hook_to_module(transformer, ModelHook())
    for _ in range(3):
        assert torch.equal(case.generate(steps=STEPS), expected)
        # What enable_model_cpu_offload does at the end of each pipeline call.
        remove_hook_from_module(transformer, recurse=True)
        add_hook_to_module(transformer, ModelHook())
    handle.remove()
    assert torch.equal(case.generate(steps=STEPS), plain)
    assert "_hf_hook" in vars(transformer)
    remove_hook_from_module(transformer, recurse=True)
    vars(transformer).pop("forward")  # accelerate leaves the bound method
    assert torch.equal(case.generate(steps=STEPS), plain)


def test_a_forward_that_was_replaced_since_is_an_error(flux: Case) -> None:
    transformer = flux.pipe.transformer
    with apply_schedule(flux.pipe, skipping(flux, [1])):
        flux.generate()
        del transformer.forward
        with pytest.raises(CacheStateError, match="forward was replaced .* step 1 cannot be skipped"):
            flux.generate()


@pytest.mark.parametrize("kind", [DDIMScheduler, HeunDiscreteScheduler, UniPCMultistepScheduler])
def test_schedulers_of_any_order_are_followed(pixart: Case, reference: Reference, kind: type) -> None:
    pixart.pipe.scheduler = kind()
    pixart.pipe.scheduler.set_timesteps(4)
    schedule = pixart.random_forecasts(2, steps=len(pixart.pipe.scheduler.timesteps))
    expected = reference(pixart, schedule, pixart.generate)
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        assert torch.equal(pixart.generate(), expected)


def test_two_unnamed_calls_a_step_with_results_as_objects(pixart: Case, reference: Reference) -> None:
    pixart.calls_per_step = 2
    schedule = pixart.random_forecasts(0, steps=4)
    expected = reference(pixart, schedule, lambda: denoise(pixart))
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        assert torch.equal(denoise(pixart), expected)


def test_results_are_the_callers_own(flux: Case) -> None:
    """A pipeline may write to what the transformer gives."""
    schedule = skipping(flux, [2, 3, 5], steps=STEPS, level=1)

    def spoil(_module: object, _args: object, output: Any) -> Any:
        spoilt = output[0].clone()
        output[0].zero_()
        return (spoilt,)

    with apply_schedule(flux.pipe, schedule):
        expected = flux.generate(steps=STEPS)
        with flux.pipe.transformer.register_forward_hook(spoil):
            assert torch.equal(flux.generate(steps=STEPS), expected)


def test_a_run_that_breaks_off_leaves_nothing_wrong(flux: Case) -> None:
    with apply_schedule(flux.pipe, flux.random_forecasts(0)) as handle:
        expected = flux.generate(steps=STEPS)
        for at in (1, 2, 3):

            def fail(_pipe: object, step: int, *_: object, at: int = at) -> dict[str, Any]:
                if step == at:
                    raise RuntimeError("broken off")
                return {}

            with suppress(RuntimeError):
                flux.generate(steps=STEPS, callback_on_step_end=fail)
            assert handle.cache_bytes() > 0
            assert torch.equal(flux.generate(steps=STEPS), expected)
            assert len(flux.generate(steps=STEPS, images=2)) == 2


def test_schedules_with_and_without_skipped_steps_follow_each_other(case: Case, reference: Reference) -> None:
    schedules = [
        case.random_schedule(1),
        case.random_forecasts(1, steps=4),
        skipping(case, [3]),
        case.random_schedule(2),
    ]
    expected = [reference(case, schedule, case.generate) for schedule in schedules]
    with apply_schedule(case.pipe, schedules[0], fuse=False) as handle:
        for schedule, latents in zip(schedules, expected, strict=True):
            handle.switch(schedule)
            assert torch.equal(case.generate(), latents)


def test_runs_that_begin_alike_share(case: Case) -> None:
    """Beginnings and ends of three schedules in every combination, against runs that share nothing."""
    parts = [case.random_schedule(0, steps=STEPS), *(case.random_forecasts(seed) for seed in (1, 2))]
    schedules = []
    for first in parts:
        for second in parts:
            at = np.arange(STEPS) < 4
            compute = np.where(at[:, None], first.effective, second.effective)
            damping = np.where(at[:, None], first.damping, second.damping)
            weights = np.tile([1.4, -0.4], (STEPS, len(case.layout) + 1, 1))
            schedules.append(Schedule(case.layout, compute, np.where(at, first.skip, second.skip), damping, weights))
    expected = []
    for schedule in schedules:
        with apply_schedule(case.pipe, schedule):
            expected.append(case.generate(steps=STEPS))
    prefixes = Prefixes(2**30)
    handle = apply_schedule(case.pipe, schedules[0], prefixes=prefixes)
    for schedule, latents in zip(schedules, expected, strict=True):
        with handle.switch(schedule):
            assert torch.equal(case.generate(steps=STEPS), latents)
    report = prefixes.report()
    assert report.shared >= 6 * case.calls_per_step
    assert report.macs == case.calls_per_step * sum(schedule.macs for schedule in schedules)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["pixart-guided", "flux", "sd3-guided"])
def test_half_precision_stays_and_fused_adds_round_no_worse(
    name: str, dtype: torch.dtype, reference: Reference
) -> None:
    exact_case, case = CASES[name](), CASES[name]()
    schedule = case.random_forecasts(1)
    exact = reference(exact_case, schedule, lambda: exact_case.generate(steps=STEPS))
    case.pipe.to(dtype=dtype)
    inputs = case.inputs
    case.inputs = lambda images: {
        key: value.to(dtype) if isinstance(value, torch.Tensor) else value for key, value in inputs(images).items()
    }
    expected = reference(case, schedule, lambda: case.generate(steps=STEPS))
    errors = []
    for fuse in (False, True):
        with apply_schedule(case.pipe, schedule, fuse=fuse):
            latents = case.generate(steps=STEPS)
        assert latents.dtype == expected.dtype
        assert fuse or torch.equal(latents, expected)
        errors.append(float((latents.float() - exact).norm()))
    assert 0 < errors[1] < 1.3 * errors[0]
