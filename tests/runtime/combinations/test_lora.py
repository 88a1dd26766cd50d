"""LoRAs that come, change and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from ecad_automl.runtime import apply_schedule
from tests.runtime.cases import CASES, Case
from tests.runtime.combinations.table import FLUX, LORA_TARGETS, SD3, STEPS, add_lora, schedule_for

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute")  # on the second LoRA
@pytest.mark.parametrize("loaded_before", [0, 2])
@pytest.mark.parametrize("name", [FLUX, SD3])
def test_loras_may_come_change_and_go_under_a_schedule(name: str, loaded_before: int, reference: Reference) -> None:
    weights = [lora_weights(CASES[name](), seed) for seed in (3, 5)]
    changes: list[Callable[[Any], object]] = [
        lambda pipe: pipe.load_lora_weights(dict(weights[0]), adapter_name="one"),
        lambda pipe: pipe.load_lora_weights(dict(weights[1]), adapter_name="two"),
        lambda pipe: pipe.set_adapters(["one", "two"], [0.5, 0.25]),
        lambda pipe: pipe.set_adapters(["one"], [2.0]),
        lambda pipe: pipe.disable_lora(),
        lambda pipe: pipe.enable_lora(),
        lambda pipe: pipe.fuse_lora(components=["transformer"]),
        lambda pipe: pipe.unfuse_lora(components=["transformer"]),
        lambda pipe: pipe.unload_lora_weights(),
    ]
    case, other = CASES[name](), CASES[name]()
    schedule = schedule_for(name)
    for change in changes[:loaded_before]:
        change(case.pipe)
        change(other.pipe)
    seen = []
    with apply_schedule(case.pipe, schedule, fuse=False) as handle:
        for change in changes[loaded_before:]:
            change(case.pipe)
            change(other.pipe)
            seen.append(case.generate(steps=STEPS))
            assert torch.equal(seen[-1], reference(other, schedule, lambda: other.generate(steps=STEPS)))
            assert handle.whole_blocks == {}
    assert not torch.equal(seen[0], seen[-1])
    assert torch.equal(case.generate(steps=STEPS), other.generate(steps=STEPS))


def lora_weights(case: Case, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    transformer = case.pipe.transformer
    transformer.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=LORA_TARGETS))
    return {f"transformer.{name}": value for name, value in get_peft_model_state_dict(transformer).items()}


@pytest.mark.parametrize("name", [FLUX, SD3])
def test_the_scale_of_a_lora_may_be_an_argument_of_the_call(name: str, reference: Reference) -> None:
    case = CASES[name]()
    schedule = schedule_for(name)
    add_lora(case.pipe.transformer)
    with apply_schedule(case.pipe, schedule, fuse=False):
        results = [case.generate(steps=STEPS, joint_attention_kwargs={"scale": scale}) for scale in (1.0, 0.3)]
    for scale, result in zip((1.0, 0.3), results, strict=True):
        expected = reference(
            case, schedule, lambda scale=scale: case.generate(steps=STEPS, joint_attention_kwargs={"scale": scale})
        )
        assert torch.equal(result, expected)
    assert not torch.equal(*results)
