"""Transformer classes without an adapter; what they do under schedules is tested with all other families."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import diffusers
import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from ecad_automl.errors import CacheStateError, NoAdapterWarning, UnsupportedModelError
from ecad_automl.runtime import Sample, apply_schedule, layout_from_config, slots_of
from ecad_automl.runtime.families import family_of
from ecad_automl.runtime.families._generic import _MADE
from ecad_automl.schedules.layout import Layout
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases.generic import GENERIC_CASES, LoopPipeline
from tests.tiny_models import tiny_pixart_transformer

pytestmark = pytest.mark.filterwarnings("ignore::ecad_automl.errors.NoAdapterWarning")


SLOTS = {
    "prx": {"blocks": ("attention",)},
    "kandinsky5": {
        "text_transformer_blocks": ("self_attention", "feed_forward"),
        "visual_transformer_blocks": ("self_attention", "cross_attention", "feed_forward"),
    },
    "sana-video": {"transformer_blocks": ("attn1", "attn2", "ff")},
    "ovis": {"transformer_blocks": ("attn", "ff", "ff_context"), "single_transformer_blocks": ("attn",)},
    "bria": {"transformer_blocks": ("attn", "ff", "ff_context"), "single_transformer_blocks": ("attn",)},
    "latte": {"transformer_blocks": ("attn1", "attn2", "ff"), "temporal_transformer_blocks": ("attn1", "ff")},
    "cogview3": {"transformer_blocks": ("attn1", "ff")},
    "lumina-next": {"layers": ("attn1", "attn2", "feed_forward")},
    "hunyuan-image": {
        "context_embedder.token_refiner.refiner_blocks": ("attn", "ff"),
        "transformer_blocks": ("attn", "ff", "ff_context"),
        "single_transformer_blocks": ("attn",),
    },
    "hunyuan-video15": {
        "context_embedder.token_refiner.refiner_blocks": ("attn", "ff"),
        "transformer_blocks": ("attn", "ff", "ff_context"),
    },
    "wan-vace": {"blocks": ("attn1", "attn2", "ffn"), "vace_blocks": ("attn1", "attn2", "ffn")},
    "chrono-edit": {"blocks": ("attn1", "attn2", "ffn")},
}


@pytest.mark.parametrize("name", list(GENERIC_CASES))
def test_slots_are_attentions_and_feed_forwards_of_blocks(name: str) -> None:
    transformer = GENERIC_CASES[name]().pipe.transformer
    groups = {group.path: tuple(part.name for part in group.components) for group in family_of(transformer).groups}
    assert groups == SLOTS[name]
    for slot in slots_of(transformer):
        assert slot.reader is None
        assert isinstance(transformer.get_submodule(slot.name), nn.Module)


def test_blocks_that_nobody_has_looked_at_are_always_run_whole() -> None:
    case = GENERIC_CASES["prx"]()
    with apply_schedule(case.pipe, case.random_schedule(0)) as handle:
        assert handle.whole_blocks == dict.fromkeys(case.layout.blocks, "its class has no adapter")
        with mock.patch("ecad_automl.runtime.scheduled.record", side_effect=AssertionError("recorded")):
            case.generate()


def test_compiling_blocks_that_nobody_has_looked_at_is_refused() -> None:
    case = GENERIC_CASES["ovis"]()
    with pytest.raises(
        UnsupportedModelError, match=r"compile=True is not for OvisImage.* has no adapter. Leave it out"
    ):
        apply_schedule(case.pipe, case.random_schedule(0), compile=True)


def test_a_warning_tells_once_what_was_found() -> None:
    case = GENERIC_CASES["ovis"]()
    with pytest.warns(
        NoAdapterWarning,
        match=r"OvisImageTransformer2DModel has no adapter.* with attn, ff, ff_context.* are run whole",
    ):
        slots_of(case.pipe.transformer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slots_of(case.pipe.transformer)
    count = len(_MADE)
    assert count > 0
    del case
    gc.collect()
    assert len(_MADE) < count


class SomeMixer(nn.Module):
    """Has a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.to_out = nn.ModuleList([nn.Linear(4, 4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.to_out[0](x)


class Block(nn.Module):
    """Has no feed-forward; the attention is known by its name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm = nn.Sequential(nn.LayerNorm(4))
        self.self_attn = SomeMixer()
        self.mlp_gate = nn.Sequential(nn.Linear(4, 4))
        self.mlp = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.self_attn(x)


class Transformer(nn.Module):
    """With blocks, a list of other things, and blocks within blocks that do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(4)])
        self.attn_in = nn.Sequential(nn.ModuleList([Block()]))
        self.layers = nn.ModuleList([Block(), Block()])
        self.layers[0].inner = nn.ModuleList([Block()])


def test_norms_gates_single_layers_and_nested_blocks_are_no_slots() -> None:
    assert [slot.name for slot in slots_of(Transformer())] == ["layers.0.self_attn", "layers.1.self_attn"]


def test_a_name_alone_is_not_enough() -> None:
    with pytest.raises(UnsupportedModelError, match="OvisImageTransformer2DModel"):
        family_of("OvisImageTransformer2DModel")
    with pytest.raises(UnsupportedModelError, match="OvisImageTransformer2DModel"):
        layout_from_config("OvisImageTransformer2DModel", {}, Sample(64, 64, 8))


def test_what_has_no_blocks_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match=r"class Linear .* no list of blocks"):
        slots_of(nn.Linear(1, 1))


def test_a_wrapped_transformer_is_refused_with_a_way_out() -> None:
    with pytest.raises(UnsupportedModelError, match=r"is a PixArtTransformer2DModel wrapped in a Sequential"):
        slots_of(nn.Sequential(tiny_pixart_transformer()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own modules
@pytest.mark.parametrize("make", [Transformer, tiny_pixart_transformer])
def test_a_compiled_transformer_is_refused_with_a_way_out(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"wrapped by torch.compile, .* transformer\.compile\(\)"):
        slots_of(torch.compile(make()))


def test_a_unet_is_refused_by_name() -> None:
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=2,
        cross_attention_dim=8,
        attention_head_dim=2,
    )
    with pytest.raises(UnsupportedModelError, match=r"UNet2DConditionModel cannot be run .* is a UNet"):
        slots_of(unet)


@pytest.mark.parametrize(("order", "message"), [((0,), "Only 1 of the 2 blocks"), ((0, 1, 1), "layers.1 was called")])
def test_blocks_that_are_not_run_just_once_are_refused(order: tuple[int, ...], message: str) -> None:
    class Other(Transformer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for index in order:
                x = self.layers[index](x)
            return x

    pipe: Any = SimpleNamespace(transformer=Other(), scheduler=FlowMatchEulerDiscreteScheduler())
    pipe.scheduler.set_timesteps(2)
    schedule = Schedule.all_compute(Layout("Other", slots_of(pipe.transformer)), 2)
    with apply_schedule(pipe, schedule), pytest.raises(CacheStateError, match=message):
        pipe.transformer(torch.randn(1, 4))


class Deciding(nn.Module):
    """Calls of it differ by what its Python code remembers, and it writes to what its attention gives."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = SomeMixer()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.self_attn(x).mul_(self.calls)


class DecidingTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Deciding(), Deciding()])

    def forward(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


def test_what_a_block_decides_anew_and_writes_in_place_is_so_under_a_schedule() -> None:
    torch.manual_seed(0)
    transformer = DecidingTransformer()
    pipe = LoopPipeline(transformer, FlowMatchEulerDiscreteScheduler())
    pipe.set_progress_bar_config(disable=True)
    compute = np.array([[True, True], [False, True], [False, False], [True, False], [False, False]])
    schedule = Schedule(Layout("DecidingTransformer", slots_of(transformer)), compute)

    def run() -> torch.Tensor:
        for layer in transformer.layers:
            layer.calls = 0
        latents = pipe((4,), 1, {}, num_inference_steps=5, generator=torch.Generator().manual_seed(0))
        return latents["images"]

    def expected() -> torch.Tensor:
        latents = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
        pipe.scheduler.set_timesteps(5)
        cached: dict[int, torch.Tensor] = {}
        for step, timestep in enumerate(pipe.scheduler.timesteps):
            hidden = latents
            for index, layer in enumerate(transformer.layers):
                if compute[step, index]:
                    cached[index] = layer.self_attn(hidden)
                hidden = hidden + cached[index] * (step + 1)
            latents = pipe.scheduler.step(hidden, timestep, latents, return_dict=False)[0]
        return latents

    with torch.no_grad(), apply_schedule(pipe, schedule):
        for _ in range(2):
            assert torch.equal(run(), expected())
