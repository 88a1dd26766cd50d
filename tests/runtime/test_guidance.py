"""Guidance branches that the transformer computes one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from ecad_automl.errors import CacheStateError
from ecad_automl.runtime import apply_schedule
from ecad_automl.runtime.steps import Call, StepTracker

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference


def denoise(case: Case, steps: int = 4, scale: float = 3.0, guide: Callable[[int], bool] = lambda _: True) -> Any:
    """PixArt with the two guidance branches in two transformer calls, as a user's own loop may do it."""
    pipe = case.pipe
    generator = torch.Generator().manual_seed(0)
    branches = [torch.randn(1, 6, 12, generator=generator) for _ in range(2)]
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    pipe.scheduler.set_timesteps(steps)
    with torch.no_grad():
        for number, timestep in enumerate(pipe.scheduler.timesteps):
            noise = [
                pipe.transformer(latents, text, timestep=timestep[None], added_cond_kwargs={}).sample[:, :4]
                for text in branches[: 2 if guide(number) else 1]
            ]
            mixed = noise[0] + scale * (noise[0] - noise[-1])
            latents = pipe.scheduler.step(mixed, timestep, latents).prev_sample
    return latents


@pytest.mark.conformance("branches")
def test_each_call_of_a_step_has_a_guidance_branch_of_its_own(case: Case) -> None:
    calls: list[Call] = []
    locate = StepTracker.locate

    def located(*arguments: Any) -> Call:
        calls.append(locate(*arguments))
        return calls[-1]

    with (
        mock.patch.object(StepTracker, "locate", located),
        apply_schedule(case.pipe, case.random_schedule(1, steps=3)),
    ):
        case.generate(steps=3)
    branches = [call.context for call in calls[: case.calls_per_step]]
    assert len(set(branches)) == case.calls_per_step
    assert calls == [
        Call(step, branch, new_run=step == number == 0) for step in range(3) for number, branch in enumerate(branches)
    ]


def test_two_unnamed_calls_a_step_keep_caches_of_their_own(pixart: Case, reference: Reference) -> None:
    pixart.calls_per_step = 2
    schedule = pixart.random_schedule(1)
    expected = reference(pixart, schedule, lambda: denoise(pixart))
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        assert torch.equal(denoise(pixart), expected)
        assert torch.equal(denoise(pixart), expected)


def test_guidance_may_stop_during_a_run(pixart: Case) -> None:
    schedule = pixart.random_schedule(1)
    with apply_schedule(pixart.pipe, schedule):
        unguided = denoise(pixart, scale=0.0)
        assert torch.equal(denoise(pixart, scale=0.0, guide=lambda step: step < 2), unguided)


def test_a_branch_that_starts_in_the_middle_is_refused(pixart: Case) -> None:
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(1)),
        pytest.raises(CacheStateError, match="step 2, but the guidance branch number 2 had none before"),
    ):
        denoise(pixart, guide=lambda step: step >= 2)


def test_a_branch_that_pauses_is_refused(pixart: Case) -> None:
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(1)),
        pytest.raises(CacheStateError, match="step 2, but the guidance branch number 2 had one of step 0 before"),
    ):
        denoise(pixart, guide=lambda step: step != 1)


def test_unnamed_calls_without_a_step_index_are_refused_before_images_come_out_wrong(pixart: Case) -> None:
    pixart.pipe.scheduler = DDIMScheduler()
    with (
        apply_schedule(pixart.pipe, pixart.random_schedule(1)),
        pytest.raises(CacheStateError, match="DDIMScheduler, which tells no step index"),
    ):
        denoise(pixart)


@pytest.mark.parametrize("scheduler", [DDIMScheduler, FlowMatchEulerDiscreteScheduler])
def test_names_given_by_the_pipeline_tell_branches_apart(flux: Case, reference: Reference, scheduler: type) -> None:
    # The order of the branches changes from step to step: only the names tell them apart. DDIM has no step index.
    flux.pipe.scheduler = scheduler()
    schedule = flux.random_schedule(9)
    names = [["cond", "uncond"], ["uncond", "cond"], ["cond", "uncond"], ["uncond", "cond"]]

    def run(name_calls: bool, order: list[list[str]]) -> dict[str, torch.Tensor]:
        inputs = _flux_call()
        outputs = {}
        flux.pipe.scheduler.set_timesteps(4)
        for step, timestep in enumerate(flux.pipe.scheduler.timesteps):
            for name in order[step]:
                context = flux.pipe.transformer.cache_context(name) if name_calls else nullcontext()
                with context, torch.no_grad():
                    sign = 1 if name == "cond" else -1
                    call = {**inputs, "hidden_states": inputs["hidden_states"] * sign * (step + 1)}
                    outputs[name] = flux.pipe.transformer(**call).sample
            flux.pipe.scheduler.step(outputs["cond"], timestep, inputs["hidden_states"])
        return outputs

    expected = reference(flux, schedule, lambda: run(name_calls=False, order=[names[0]] * 4))
    # diffusers remembers from this run that no hook wants to know the names.
    run(name_calls=True, order=names)
    with apply_schedule(flux.pipe, schedule, fuse=False):
        outputs = run(name_calls=True, order=names)
    assert all(torch.equal(outputs[name], expected[name]) for name in ("cond", "uncond"))


def _flux_call() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)
    return {
        "hidden_states": torch.randn(1, 4, 8, generator=generator),
        "encoder_hidden_states": torch.randn(1, 6, 12, generator=generator),
        "pooled_projections": torch.randn(1, 10, generator=generator),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([3.5]),
        "img_ids": torch.zeros(4, 3),
        "txt_ids": torch.zeros(6, 3),
    }
