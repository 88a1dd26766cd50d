from __future__ import annotations

import pytest
import torch
from diffusers import PixArtTransformer2DModel
from torch import nn

from ecad_automl.errors import ScheduleError
from ecad_automl.runtime.macs import count_layout
from ecad_automl.schedules.layout import Slot


class Model(nn.Module):
    """Two blocks of an inner layer each, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"ff": nn.Linear(3, 5), "back": nn.Linear(5, 3)}) for _ in range(2))
        self.head = nn.Linear(3, 7)
        self.unused = nn.ModuleDict({"ff": nn.Linear(3, 3)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block["back"](block["ff"](x).relu())
        return self.head(x)


def test_macs_go_to_their_slots_and_the_rest_is_constant() -> None:
    slots = (Slot("blocks.0", "ff"), Slot("blocks.1", "ff", macs=99))
    layout = count_layout(Model(), slots, [((torch.zeros(2, 3),), {})], {"rows": 2})
    assert layout.transformer == "Model"
    assert [slot.macs for slot in layout.slots] == [2 * 3 * 5, 2 * 3 * 5]
    assert layout.constant_macs == 2 * (2 * 5 * 3) + 2 * 3 * 7
    assert layout.sample == {"rows": 2}


def test_the_meta_device_counts_what_the_cpu_counts() -> None:
    config = {"num_attention_heads": 2, "attention_head_dim": 6, "num_layers": 2, "cross_attention_dim": 12}
    model = PixArtTransformer2DModel(**config, sample_size=16, caption_channels=8)
    slots = tuple(Slot(f"transformer_blocks.{block}", name) for block in range(2) for name in ("attn1", "attn2", "ff"))
    inputs = {
        "hidden_states": torch.zeros(1, 4, 16, 24),
        "encoder_hidden_states": torch.zeros(1, 5, 8),
        "timestep": torch.zeros(1),
        "encoder_attention_mask": torch.ones(1, 5),
    }
    on_cpu = count_layout(model, slots, [((), {**inputs, "added_cond_kwargs": {}})], {})
    meta = {name: value.to("meta") for name, value in inputs.items()}
    on_meta = count_layout(model.to("meta"), slots, [((), {**meta, "added_cond_kwargs": {}})], {})
    assert on_meta.to_dict() == on_cpu.to_dict()


def test_a_slot_that_the_forward_skips_is_an_error() -> None:
    with pytest.raises(ScheduleError, match=r"'unused.ff'; the forward of Model skips it"):
        count_layout(Model(), (Slot("unused", "ff"),), [((), {"x": torch.zeros(2, 3)})], {})


def test_pixart_xl_has_the_macs_that_ecad_reports() -> None:
    # Their counter leaves out the attention products QK^T and AV; the constant is 29.97 GMAC over 20 steps.
    from ecad_automl.runtime import Sample, layout_from_config

    config = {"sample_size": 32, "caption_channels": 4096}
    layout = layout_from_config("PixArtTransformer2DModel", config, Sample(256, 256, 120, branches=2))
    assert len(layout) == 28 * 3
    macs = {slot.component: slot.macs for slot in layout.slots}
    tokens, text, width, branches = 256, 120, 16 * 72, 2
    assert macs["attn1"] - branches * 2 * tokens * tokens * width == 2_717_908_992
    assert macs["attn2"] - branches * 2 * tokens * text * width == 1_995_964_416
    assert macs["ff"] == 5_435_817_984
    assert layout.constant_macs * 20 == 29_968_957_440
