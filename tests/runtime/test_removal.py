from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from accelerate.hooks import ModelHook, add_hook_to_module, remove_hook_from_module
from diffusers.hooks import HookRegistry
from torch import nn

from ecad_automl.runtime import apply_schedule

if TYPE_CHECKING:
    from tests.runtime.conftest import Case, Reference


def everything_on(transformer: nn.Module) -> dict[str, dict[str, Any]]:
    """Identity of each attribute of each module, and of what its dicts hold."""
    return {
        name: {
            key: [(inner, id(item)) for inner, item in value.items()] if isinstance(value, dict) else id(value)
            for key, value in vars(module).items()
        }
        for name, module in transformer.named_modules()
    }


def test_nothing_is_left_on_the_model(case: Case) -> None:
    transformer = case.pipe.transformer
    schedule = case.random_schedule(0)
    before = everything_on(transformer)
    handle = apply_schedule(case.pipe, schedule)
    assert everything_on(transformer) != before
    case.generate()
    handle.remove()
    assert everything_on(transformer) == before


def test_nothing_is_left_on_a_model_that_ran_before(case: Case) -> None:
    transformer = case.pipe.transformer
    images = case.generate()
    before = everything_on(transformer)
    with apply_schedule(case.pipe, case.random_schedule(0)):
        case.generate()
    assert everything_on(transformer) == before
    registry = getattr(transformer, "_diffusers_hook", None)
    assert registry is None or not registry._child_registries_cache
    assert torch.equal(case.generate(), images)


def test_removal_gives_the_old_images_back(case: Case) -> None:
    before = case.generate()
    handle = apply_schedule(case.pipe, case.random_schedule(1, share=0.1))
    assert not torch.equal(case.generate(), before)
    handle.remove()
    assert torch.equal(case.generate(), before)


def test_removing_twice_is_removing_once(case: Case) -> None:
    first = apply_schedule(case.pipe, case.random_schedule(1))
    first.remove()
    second = apply_schedule(case.pipe, case.random_schedule(2))
    images = case.generate()
    first.remove()
    assert torch.equal(case.generate(), images)
    second.remove()


def test_the_context_manager_removes_on_an_error(case: Case) -> None:
    schedule = case.random_schedule(1)
    before = everything_on(case.pipe.transformer)
    with pytest.raises(ZeroDivisionError), apply_schedule(case.pipe, schedule):
        raise ZeroDivisionError
    assert everything_on(case.pipe.transformer) == before


@pytest.mark.parametrize("fails_at", [0, 1])
def test_a_failure_half_way_leaves_nothing(case: Case, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    schedule = case.random_schedule(1)
    before = everything_on(case.pipe.transformer)
    real, calls = HookRegistry.register_hook, []

    def register(*args: Any) -> None:
        calls.append(args)
        if len(calls) > fails_at:
            raise MemoryError
        real(*args)

    monkeypatch.setattr(HookRegistry, "register_hook", register)
    with pytest.raises(MemoryError):
        apply_schedule(case.pipe, schedule)
    assert everything_on(case.pipe.transformer) == before


def test_classes_are_not_touched(case: Case) -> None:
    kinds = {type(module) for module in case.pipe.transformer.modules()}
    before = {kind: dict(vars(kind)) for kind in kinds}
    with apply_schedule(case.pipe, case.random_schedule(1)):
        assert {kind: dict(vars(kind)) for kind in kinds} == before


def test_model_offload_may_rehook_the_transformer_between_runs(case: Case, reference: Reference) -> None:
    # What enable_model_cpu_offload does: hooked on before, unhooked and hooked again after each pipeline call.
    transformer = case.pipe.transformer
    schedule = case.random_schedule(2)
    add_hook_to_module(transformer, ModelHook())
    handle = apply_schedule(case.pipe, schedule, fuse=False)
    first = case.generate()
    remove_hook_from_module(transformer, recurse=True)
    add_hook_to_module(transformer, ModelHook())
    second = case.generate()
    handle.remove()
    remove_hook_from_module(transformer, recurse=True)
    vars(transformer).pop("forward")  # accelerate leaves the bound method
    assert torch.equal(first, reference(case, schedule, case.generate))
    assert torch.equal(second, first)


@pytest.mark.parametrize("on_block", [True, False])
@pytest.mark.parametrize("offload_first", [True, False])
def test_hooks_of_accelerate_survive_removal(case: Case, offload_first: bool, on_block: bool) -> None:
    check_hooks_survive(case, offload_first, on_block)


@pytest.mark.every_family
def test_so_do_those_on_a_block_of_any_family(case: Case) -> None:
    check_hooks_survive(case, offload_first=True, on_block=True)


def check_hooks_survive(case: Case, offload_first: bool, on_block: bool) -> None:
    class Count(ModelHook):
        calls = 0

        def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().pre_forward(module, *args, **kwargs)

    slot = case.layout.slots[-1]
    component = case.pipe.transformer.get_submodule(slot.block if on_block else slot.name)
    plain_calls: list[int] = []
    counting = component.register_forward_pre_hook(lambda *_: plain_calls.append(1))
    before = case.generate(steps=2)
    counting.remove()
    count = Count()
    if offload_first:
        add_hook_to_module(component, count)
    handle = apply_schedule(case.pipe, case.random_schedule(2, steps=2))
    if not offload_first:
        add_hook_to_module(component, count)
    case.generate(steps=2)
    handle.remove()
    so_far = count.calls
    assert torch.equal(case.generate(steps=2), before)
    assert count.calls == so_far + len(plain_calls)
    remove_hook_from_module(component)
    assert torch.equal(case.generate(steps=2), before)
    assert count.calls == so_far + len(plain_calls)


def test_a_block_is_recorded_once_a_hook_on_one_of_its_components_is_gone(case: Case) -> None:
    slot, schedule = case.layout.slots[0], case.random_schedule(2)
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        expected = case.generate()
        assert handle.whole_blocks == {}
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        with case.pipe.transformer.get_submodule(slot.name).register_forward_hook(lambda *_: None):
            assert torch.equal(case.generate(), expected)
            assert "PyTorch hooks" in handle.whole_blocks[slot.block]
        assert torch.equal(case.generate(), expected)
        assert handle.whole_blocks == {}


@pytest.mark.parametrize("on_block", [True, False])
def test_other_hooks_in_the_registry_stay(case: Case, on_block: bool) -> None:
    from diffusers.hooks import ModelHook as DiffusersHook

    slot = case.layout.slots[0]
    component = case.pipe.transformer.get_submodule(slot.block if on_block else slot.name)
    registry = HookRegistry.check_if_exists_or_initialize(component)
    registry.register_hook(DiffusersHook(), "below")
    with apply_schedule(case.pipe, case.random_schedule(2)):
        registry.register_hook(DiffusersHook(), "above")
    assert list(component._diffusers_hook.hooks) == ["below", "above"]
    case.generate()
