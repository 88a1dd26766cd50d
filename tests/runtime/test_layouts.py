from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecad_automl.errors import ScheduleError, UnsupportedModelError
from ecad_automl.runtime import Sample, apply_schedule, layout_from_config, layout_of, slots_of
from ecad_automl.schedules.schedule import Schedule
from tests.runtime.cases import CASES

if TYPE_CHECKING:
    from tests.runtime.conftest import Case


def macs_of_a_run(case: Case, **call: Any) -> int:
    """MACs of the transformer in a real run."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        case.generate(**call)
    return sum(counter.get_flop_counts()[type(case.pipe.transformer).__name__].values()) // 2


@pytest.mark.conformance("MACs")
def test_macs_of_a_schedule_are_those_of_a_run_under_it(case: Case) -> None:
    schedule = case.random_schedule(1, steps=2)
    # Mochi computes its positions by matrix products, once for a whole batch.
    mochi = case.layout.transformer == "MochiTransformer3DModel"
    shared = 3 * macs_of_a_run(case, steps=2) - macs_of_a_run(case, steps=2, images=3) if mochi else 0
    with apply_schedule(case.pipe, schedule, keep_text=False, fuse=False):
        assert macs_of_a_run(case, steps=2) == schedule.macs
        assert macs_of_a_run(case, steps=2, images=3) == 3 * schedule.macs - shared
    with apply_schedule(case.pipe, schedule):
        assert macs_of_a_run(case, steps=2) == schedule.run_macs
    schedule = case.random_forecasts(1, steps=4)
    with apply_schedule(case.pipe, schedule, keep_text=False, fuse=False):
        assert macs_of_a_run(case, steps=4) == schedule.macs
    with apply_schedule(case.pipe, schedule):
        assert macs_of_a_run(case, steps=4) == schedule.run_macs


@pytest.mark.parametrize("name", ["pixart-guided", "sana-guided", "wan-guided", "ltx-guided"])
def test_text_is_worked_on_once_where_attention_crosses_to_it(name: str) -> None:
    case = CASES[name]()
    schedule = Schedule.all_compute(case.layout, 4)
    crossing = [slot for slot in case.layout.slots if slot.component == "attn2"]
    assert all(0 < slot.text_macs < slot.macs for slot in crossing)
    assert case.layout.text_macs > 0
    once = case.layout.text_macs + sum(slot.text_macs for slot in crossing)
    assert schedule.run_macs == schedule.macs - 3 * once
    before = case.generate()
    with apply_schedule(case.pipe, schedule):
        assert torch.equal(case.generate(), before)
        assert macs_of_a_run(case) == schedule.run_macs  # another run has another text


@pytest.mark.conformance("MACs")
def test_macs_without_caching_are_those_of_the_untouched_pipeline(case: Case) -> None:
    assert macs_of_a_run(case, steps=2) == Schedule.all_compute(case.layout, 2).macs == 2 * case.layout.step_macs


@pytest.mark.every_family
def test_the_layout_has_the_slots_of_the_transformer_and_what_it_was_counted_for(case: Case) -> None:
    assert case.layout.transformer == type(case.pipe.transformer).__name__
    assert case.layout.slots == slots_of(case.pipe.transformer)
    arguments = case.arguments(1)
    sample = dict(case.layout.sample)
    if "text_tokens" in sample:
        tokens = case.call.get("max_sequence_length") or len(arguments["prompt_embeds"][0])
        assert sample.pop("text_tokens") == tokens
    sizes = {name: arguments[name] for name in ("height", "width", "num_frames") if name in arguments}
    calls = {"calls": case.calls_per_step} if case.calls_per_step > 1 else {}
    assert sample == {**sizes, "branches": case.branches, **calls}
    assert min(slot.macs for slot in case.layout.slots) > 0
    assert case.layout.constant_macs > 0


def test_counting_does_not_touch_the_model(case: Case) -> None:
    before = {name: (id(value), value._version) for name, value in case.pipe.transformer.named_parameters()}
    assert case.counted().step_macs > 0
    after = {name: (id(value), value._version) for name, value in case.pipe.transformer.named_parameters()}
    assert after == before


@pytest.mark.parametrize(("guidance", "branches"), [(True, 2), (False, 1)])
def test_guidance_doubles_pixart(pixart: Case, guidance: bool, branches: int) -> None:
    layout = layout_of(pixart.pipe, height=16, width=16, guidance=guidance)
    assert layout.sample == {"height": 16, "width": 16, "text_tokens": 120, "branches": branches}
    single = layout_of(pixart.pipe, height=16, width=16, guidance=False)
    assert layout.step_macs == branches * single.step_macs


@pytest.mark.parametrize("guidance", [True, False])
def test_guidance_of_flux_is_embedded(flux: Case, guidance: bool) -> None:
    layout = layout_of(flux.pipe, height=32, width=32, guidance=guidance)
    assert layout.sample == {"height": 32, "width": 32, "text_tokens": 512, "branches": 1}


@pytest.mark.parametrize("size", [0, 15, -16])
def test_images_that_are_not_whole_patches_are_refused(pixart: Case, size: int) -> None:
    with pytest.raises(ScheduleError, match=f"{size} x 16 pixels does not fit this model.* multiples of 4"):
        layout_of(pixart.pipe, height=size, width=16, guidance=True)


def test_pipelines_with_unknown_inputs_are_refused(flux: Case) -> None:
    class FluxKontextLike:
        transformer = flux.pipe.transformer

    with pytest.raises(UnsupportedModelError, match="inputs of FluxKontextLike are not known .* layout_of_call"):
        layout_of(FluxKontextLike(), height=32, width=32, guidance=True)


def test_unknown_transformers_and_broken_configs_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="UNet2DConditionModel"):
        layout_from_config("UNet2DConditionModel", {}, Sample(64, 64, 8))
    with pytest.raises(ScheduleError, match="No PixArtTransformer2DModel can be made"):
        layout_from_config("PixArtTransformer2DModel", {"num_layers": "many"}, Sample(64, 64, 8))


def test_a_sample_must_have_text_and_branches() -> None:
    with pytest.raises(ScheduleError, match="at least 1"):
        layout_from_config("FluxTransformer2DModel", {"num_layers": 1, "num_single_layers": 1}, Sample(64, 64, 0))


def test_pixart_at_1024_pixels_counts_its_size_conditions() -> None:
    config = {"num_attention_heads": 2, "attention_head_dim": 6, "num_layers": 1, "cross_attention_dim": 12}
    sample = Sample(64, 64, 8)
    plain = layout_from_config("PixArtTransformer2DModel", {**config, "use_additional_conditions": False}, sample)
    # The default of sample_size is 128, for which the model has embedders of resolution and aspect ratio: three
    # values, each by a layer of 256 x 4 and one of 4 x 4.
    conditioned = layout_from_config("PixArtTransformer2DModel", config, sample)
    assert conditioned.constant_macs - plain.constant_macs == 3 * (256 * 4 + 4 * 4)


def test_flux_dev_in_full_size_is_counted_without_its_weights() -> None:
    layout = layout_from_config("FluxTransformer2DModel", {"guidance_embeds": True}, Sample(256, 256, 512))
    assert len(layout) == 19 * 3 + 38 * 3
    macs = {slot.name: slot.macs for slot in layout.slots}
    tokens, width = 256 + 512, 3072
    products = 2 * tokens * tokens * width  # QK^T and AV
    assert macs["transformer_blocks.0.attn"] == 4 * tokens * width * width + products
    assert macs["transformer_blocks.0.ff"] == 8 * 256 * width * width
    assert macs["transformer_blocks.0.ff_context"] == 8 * 512 * width * width
    assert macs["single_transformer_blocks.0.attn"] == 3 * tokens * width * width + products
    assert macs["single_transformer_blocks.0.proj_mlp"] == 4 * tokens * width * width
    assert macs["single_transformer_blocks.0.proj_out"] == 5 * tokens * width * width


def test_sd3_medium_in_full_size_is_counted_without_its_weights() -> None:
    config = {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192}
    layout = layout_from_config("SD3Transformer2DModel", config, Sample(512, 512, 256))
    assert len(layout) == 24 * 3 - 1
    macs = {slot.name: slot.macs for slot in layout.slots}
    image, text, width = 1024, 77 + 256, 1536
    products = 2 * (image + text) ** 2 * width  # QK^T and AV
    assert macs["transformer_blocks.0.attn"] == 4 * (image + text) * width * width + products
    assert macs["transformer_blocks.23.attn"] == (4 * image + 3 * text) * width * width + products
    assert macs["transformer_blocks.0.ff"] == 8 * image * width * width
    assert macs["transformer_blocks.0.ff_context"] == 8 * text * width * width
