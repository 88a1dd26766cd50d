"""Transformer classes without an adapter: real ones of diffusers, called in a little loop of denoising steps."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from torch import nn

from ecad_automl.errors import CacheStateError, NoAdapterWarning, UnsupportedModelError
from ecad_automl.layout import Layout
from ecad_automl.runtime import apply_schedule, layout_from_config, slots_of
from ecad_automl.runtime.families import family_of
from ecad_automl.runtime.families.generic import _MADE
from ecad_automl.runtime.inputs import Sample
from ecad_automl.schedule import Schedule
from tests.runtime.cases import Case
from tests.tiny_models import tiny_pixart_transformer

if TYPE_CHECKING:
    from tests.runtime.conftest import Reference

TEXT_WIDTH = 12
TOKENS = 6

pytestmark = pytest.mark.filterwarnings("ignore::ecad_automl.errors.NoAdapterWarning")


class LoopPipeline(DiffusionPipeline):
    """Denoises with any transformer: ``inputs`` tells its arguments beside latents and timestep."""

    def __init__(self, transformer: nn.Module, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(transformer=transformer, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self, shape: tuple[int, ...], images: int, inputs: Any, num_inference_steps: int, generator: Any, **_: Any
    ) -> dict[str, torch.Tensor]:
        latents = torch.randn(images, *shape, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps)
        for timestep in self.scheduler.timesteps:
            predicted = self.transformer(
                hidden_states=latents, timestep=timestep.expand(images), return_dict=False, **inputs
            )
            predicted = predicted[0] if isinstance(predicted, tuple) else predicted
            latents = self.scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        return {"images": latents}


def loop_case(transformer: nn.Module, shape: tuple[int, ...], inputs: Callable[[int], dict[str, Any]]) -> Case:
    torch.manual_seed(0)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.2)
    pipe = LoopPipeline(transformer.eval(), FlowMatchEulerDiscreteScheduler())

    def call_inputs(images: int) -> dict[str, Any]:
        return {"shape": shape, "images": images, "inputs": inputs(images)}

    generator = torch.Generator()  # layout_of_call gives none of its own
    return Case(pipe, {"generator": generator}, call_inputs, 1, 1)


def texts(images: int, width: int = TEXT_WIDTH) -> torch.Tensor:
    return torch.randn(images, TOKENS, width, generator=torch.Generator().manual_seed(0))


def prx() -> Case:
    transformer = diffusers.PRXTransformer2DModel(
        in_channels=4, context_in_dim=TEXT_WIDTH, hidden_size=16, num_heads=2, depth=3, axes_dim=[4, 4]
    )
    return loop_case(transformer, (4, 8, 8), lambda images: {"encoder_hidden_states": texts(images)})


def kandinsky5() -> Case:
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_text_dim=TEXT_WIDTH,
        in_text_dim2=8,
        time_dim=16,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=2,
        num_visual_blocks=2,
        axes_dims=(4, 2, 2),
    )

    def inputs(images: int) -> dict[str, Any]:
        return {
            "encoder_hidden_states": texts(images),
            "pooled_projections": texts(images, 8)[:, 0],
            "visual_rope_pos": (torch.arange(2), torch.arange(4), torch.arange(4)),
            "text_rope_pos": torch.arange(TOKENS),
        }

    return loop_case(transformer, (2, 8, 8, 4), inputs)


def sana_video() -> Case:
    transformer = diffusers.SanaVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=3,
        num_cross_attention_heads=2,
        cross_attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=TEXT_WIDTH,
        sample_size=8,
    )
    return loop_case(transformer, (4, 2, 8, 8), lambda images: {"encoder_hidden_states": texts(images)})


def ovis() -> Case:
    transformer = diffusers.OvisImageTransformer2DModel(
        in_channels=8,
        out_channels=8,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(2, 2, 4),
    )

    def inputs(images: int) -> dict[str, Any]:
        ids = {"img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(TOKENS, 3)}
        return {"encoder_hidden_states": texts(images), **ids}

    return loop_case(transformer, (16, 8), inputs)


GENERIC_CASES = {"prx": prx, "kandinsky5": kandinsky5, "sana-video": sana_video, "ovis": ovis}

SLOTS = {
    "prx": {"blocks": ("attention",)},
    "kandinsky5": {
        "text_transformer_blocks": ("self_attention", "feed_forward"),
        "visual_transformer_blocks": ("self_attention", "cross_attention", "feed_forward"),
    },
    "sana-video": {"transformer_blocks": ("attn1", "attn2", "ff")},
    "ovis": {"transformer_blocks": ("attn", "ff", "ff_context"), "single_transformer_blocks": ("attn",)},
}


@pytest.fixture(params=list(GENERIC_CASES))
def unknown(request: pytest.FixtureRequest) -> Case:
    """A transformer of a class that has no adapter."""
    return GENERIC_CASES[request.param]()


@pytest.mark.parametrize("name", list(GENERIC_CASES))
def test_slots_are_attentions_and_feed_forwards_of_blocks(name: str) -> None:
    transformer = GENERIC_CASES[name]().pipe.transformer
    groups = {group.path: tuple(part.name for part in group.components) for group in family_of(transformer).groups}
    assert groups == SLOTS[name]
    for slot in slots_of(transformer):
        assert slot.reader is None
        assert isinstance(transformer.get_submodule(slot.name), nn.Module)


@pytest.mark.parametrize("fuse", [False, True])
def test_all_compute_changes_nothing(unknown: Case, fuse: bool) -> None:
    before = unknown.generate()
    with apply_schedule(unknown.pipe, Schedule.all_compute(unknown.layout, 4), fuse=fuse):
        for _ in range(2):
            assert torch.equal(unknown.generate(), before)
    assert torch.equal(unknown.generate(), before)


@pytest.mark.parametrize("seed", range(3))
def test_random_schedules_are_what_the_definition_says(unknown: Case, reference: Reference, seed: int) -> None:
    schedule = unknown.random_schedule(seed)
    expected = reference(unknown, schedule, unknown.generate)
    assert not torch.equal(expected, unknown.generate())
    with apply_schedule(unknown.pipe, schedule, fuse=False):
        for _ in range(2):
            assert torch.equal(unknown.generate(), expected)
    with apply_schedule(unknown.pipe, schedule):
        assert torch.allclose(unknown.generate(), expected, rtol=1e-3, atol=1e-4)


def test_macs_are_counted(unknown: Case) -> None:
    assert unknown.layout.transformer == type(unknown.pipe.transformer).__name__
    assert min(slot.macs for slot in unknown.layout.slots) > 0


def test_a_warning_tells_once_what_was_found() -> None:
    case = ovis()
    with pytest.warns(
        NoAdapterWarning, match=r"OvisImageTransformer2DModel has no adapter.* with attn, ff, ff_context"
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
