from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from ecad_automl.errors import UnsupportedModelError
from ecad_automl.runtime import slots_of
from ecad_automl.runtime.blocks import blocks_of
from ecad_automl.runtime.families import family_of

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


@pytest.mark.every_family
def test_slots_come_in_the_order_in_which_a_forward_computes_them(case: Case) -> None:
    order, expected = [], []
    calls = [component.calls for block in blocks_of(case.pipe.transformer) for component in block.components]
    for slot, often in zip(slots_of(case.pipe.transformer), calls, strict=True):
        module = case.pipe.transformer.get_submodule(slot.name)
        module.register_forward_pre_hook(lambda *_, name=slot.name: order.append(name))
        expected += [slot.name] * often
    case.generate(steps=2)
    assert order == expected * 2 * case.calls_per_step


def test_flux_projections_are_read_by_proj_out_alone(flux: Case) -> None:
    transformer = flux.pipe.transformer
    for block in transformer.single_transformer_blocks:
        block.proj_out.register_forward_hook(lambda _module, _args, output: torch.zeros_like(output))
    before = flux.generate()
    for slot in slots_of(transformer):
        if slot.reader == "proj_out":
            assert slot.block.startswith("single_transformer_blocks.")
            transformer.get_submodule(slot.name).register_forward_hook(lambda _module, _args, output: output + 1)
    assert torch.equal(flux.generate(), before)


def test_slots_without_cross_attention_leave_it_out(pixart: Case) -> None:
    for block in pixart.pipe.transformer.transformer_blocks:
        block.attn2 = None
    assert {slot.component for slot in slots_of(pixart.pipe.transformer)} == {"attn1", "ff"}


def test_unsupported_transformers_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match=r"Linear .* PixArtTransformer2DModel, FluxTransformer2DModel, SD3"):
        family_of(nn.Linear(1, 1))
