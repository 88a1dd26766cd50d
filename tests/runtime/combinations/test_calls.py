"""What calls of a pipeline may be, and hooks that change values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ecad_automl.errors import CacheStateError
from ecad_automl.runtime import apply_schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.combinations.table import CORE, FLUX, PIXART, STEPS, WHEN, schedule_for

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference


@pytest.mark.parametrize("option", ["tiling", "slicing"])
def test_a_vae_in_tiles_or_slices(pixart: Case, option: str, reference: Reference) -> None:
    vae = pixart.pipe.vae
    getattr(vae, f"enable_{option}")()
    if option == "tiling":
        vae.tile_sample_min_size, vae.tile_latent_min_size = 8, 4

    def run() -> torch.Tensor:
        return torch.as_tensor(np.array(pixart.generate(steps=STEPS, images=2, output_type="np")))

    schedule = schedule_for(PIXART)
    before = run()
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        under_schedule = run()
    assert torch.equal(run(), before)
    assert torch.equal(under_schedule, reference(pixart, schedule, run))


# The other pipelines repeat no pooled embeddings that they are given.
def test_several_prompts_and_several_images_of_each(pixart: Case, reference: Reference) -> None:
    def run() -> torch.Tensor:
        return pixart.generate(steps=STEPS, images=2, num_images_per_prompt=2)

    schedule = schedule_for(PIXART)
    before = run()
    with apply_schedule(pixart.pipe, schedule, fuse=False):
        under_schedule = run()
    assert len(under_schedule) == 4
    assert torch.equal(run(), before)
    assert torch.equal(under_schedule, reference(pixart, schedule, run))


def with_gradients(case: Case) -> torch.Tensor:
    """A run by the pipeline's call without its ``torch.no_grad``."""
    arguments = case.arguments(1) | {"num_inference_steps": STEPS, "generator": torch.Generator().manual_seed(0)}
    output = type(case.pipe).__call__.__wrapped__(case.pipe, **arguments)
    latents: torch.Tensor = next(iter(output.values()))
    return latents


@pytest.mark.parametrize("name", CORE)
def test_gradients_flow_through_a_run(name: str, reference: Reference) -> None:
    case = CASES[name]()
    schedule = schedule_for(name)

    def gradients(latents: torch.Tensor) -> dict[str, torch.Tensor]:
        case.pipe.transformer.zero_grad()
        latents.square().sum().backward()
        parameters = case.pipe.transformer.named_parameters()
        return {key: each.grad.clone() for key, each in parameters if each.grad is not None}

    expected = gradients(reference(case, schedule, lambda: with_gradients(case)))
    with apply_schedule(case.pipe, schedule, fuse=False):
        exact = gradients(with_gradients(case))
    with apply_schedule(case.pipe, schedule):
        close = gradients(with_gradients(case))
    assert exact.keys() == expected.keys() == close.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    for key, value in expected.items():
        assert torch.equal(exact[key], value), key
        assert_close(close[key], value, rtol=1e-3, atol=1e-5 * largest)


def test_gradient_checkpointing_is_refused(flux: Case) -> None:
    flux.pipe.transformer.train()
    flux.pipe.transformer.enable_gradient_checkpointing()
    with apply_schedule(flux.pipe, schedule_for(FLUX)):
        latents = with_gradients(flux)
        with pytest.raises(CacheStateError, match="was called on its own"):
            latents.sum().backward()


@pytest.mark.parametrize("kind", ["hook", "pre-hook", "forward"])
@pytest.mark.parametrize(("name", "path"), [(FLUX, "norm1"), (FLUX, "norm1.linear"), (FLUX, "attn"), (PIXART, "ff")])
def test_hooks_that_change_values_are_heard_once(name: str, path: str, kind: str, reference: Reference) -> None:
    def halved(output: Any) -> Any:
        return tuple(part / 2 for part in output) if isinstance(output, tuple) else output / 2

    def put(case: Case) -> None:
        module = case.pipe.transformer.transformer_blocks[0].get_submodule(path)
        if kind == "hook":
            module.register_forward_hook(lambda _module, _args, output: halved(output))
        elif kind == "pre-hook":
            module.register_forward_pre_hook(
                lambda _module, args, kwargs: (halved(args), kwargs if args else halve_first(kwargs)), with_kwargs=True
            )
        else:
            forward = module.forward
            module.forward = lambda *args, **kwargs: halved(forward(*args, **kwargs))

    def halve_first(kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs | {"hidden_states": kwargs["hidden_states"] / 2}

    other = CASES[name]()
    schedule = schedule_for(name)
    put(other)
    expected = reference(other, schedule, lambda: other.generate(steps=STEPS))
    for when in WHEN:
        case = CASES[name]()
        if when == "before":
            put(case)
        with apply_schedule(case.pipe, schedule, fuse=False):
            if when == "between":
                assert not torch.equal(case.generate(steps=STEPS), expected)
            if when != "before":
                put(case)
            assert torch.equal(case.generate(steps=STEPS), expected), when
            assert torch.equal(case.generate(steps=STEPS), expected), when
