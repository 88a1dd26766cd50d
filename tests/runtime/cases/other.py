"""Z-Image, Lumina 2, Sana, HunyuanDiT and DiT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SchedulerMixin,
    SCMScheduler,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from torch import nn

from tests.runtime.cases.base import TOKENS, Case
from tests.tiny_models import tiny_vae

__all__ = ["OTHER_CASES"]

TEXT_WIDTH = 12


def _random(transformer: nn.Module) -> Any:
    """Fill a transformer so that each slot changes the image."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            # Around 1 for the weights of norms, which scale what they are given.
            centre = 1.0 if "norm" in name and name.endswith("weight") and parameter.ndim == 1 else 0.0
            parameter.copy_(centre + 0.2 * torch.randn_like(parameter))
    return transformer.eval()


def _texts(lengths: list[int], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, TEXT_WIDTH, generator=generator) for length in lengths]


def _masked_texts(lengths: list[int], seed: int, tokens: int = TOKENS) -> tuple[torch.Tensor, torch.Tensor]:
    """Texts padded to one length, and their masks."""
    texts = torch.stack(_texts([tokens] * len(lengths), seed))
    return texts, (torch.arange(tokens) < torch.tensor(lengths)[:, None]).long()


def _text_inputs(prefix: str, suffix: str, texts: tuple[torch.Tensor, torch.Tensor]) -> dict[str, Any]:
    return dict(zip((f"{prefix}prompt_embeds{suffix}", f"{prefix}prompt_attention_mask{suffix}"), texts, strict=True))


# MACs are counted for the first prompt, so that no other one of a batch may be longer where lengths count.
LENGTHS = (TOKENS, TOKENS - 2, TOKENS - 1)


def _lengths(images: int) -> list[int]:
    return [LENGTHS[index % len(LENGTHS)] for index in range(images)]


def _new_zimage() -> ZImagePipeline:
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=2,
        n_refiner_layers=2,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=TEXT_WIDTH,
        axes_dims=[4, 2, 2],
        axes_lens=[128, 32, 32],
    )
    return ZImagePipeline(
        transformer=_random(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )


def _zimage_case(guidance: float) -> Case:
    def inputs(images: int) -> dict[str, Any]:
        texts = {"prompt_embeds": _texts(_lengths(images), 0)}
        if guidance > 0:
            # Each text is padded to a multiple of 32, so that the prompts are masked in the batch.
            texts["negative_prompt_embeds"] = _texts([40] * images, 1)
        return texts

    return Case(_new_zimage(), {"guidance_scale": guidance}, inputs, 1, 2 if guidance > 0 else 1, size=32)


def _new_lumina() -> Lumina2Pipeline:
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=24,
        num_layers=2,
        num_refiner_layers=2,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=8,
        axes_dim_rope=(2, 2, 2),
        axes_lens=(32, 16, 16),
        cap_feat_dim=TEXT_WIDTH,
    )
    return Lumina2Pipeline(
        transformer=_random(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )


def _lumina_case(guidance: float) -> Case:
    def inputs(images: int) -> dict[str, Any]:
        texts = _text_inputs("", "", _masked_texts(_lengths(images), 0))
        if guidance > 1:
            texts |= _text_inputs("negative_", "", _masked_texts([2] * images, 1))
        return texts

    branches = 2 if guidance > 1 else 1
    return Case(_new_lumina(), {"guidance_scale": guidance}, inputs, branches, branches, size=32)


def _sana_transformer(**changes: Any) -> SanaTransformer2DModel:
    config: dict[str, Any] = {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 3,
        "num_cross_attention_heads": 2,
        "cross_attention_head_dim": 8,
        "cross_attention_dim": 16,
        "caption_channels": TEXT_WIDTH,
    }
    transformer: SanaTransformer2DModel = _random(SanaTransformer2DModel(**config | changes))
    return transformer


def _sana_case(guidance: float) -> Case:
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipe = SanaPipeline(
        transformer=_sana_transformer(),
        scheduler=scheduler,
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        texts = _text_inputs("", "", _masked_texts(_lengths(images), 0))
        if guidance > 1:
            texts |= _text_inputs("negative_", "", _masked_texts([2] * images, 1))
        return texts

    call = {"guidance_scale": guidance, "use_resolution_binning": False, "negative_prompt": None}
    return Case(pipe, call, inputs, 1, 2 if guidance > 1 else 1, size=64)


def _sprint_case() -> Case:
    """Guidance is an input of the transformer, and the scheduler has one timestep more than there are steps."""
    pipe = SanaSprintPipeline(
        transformer=_sana_transformer(guidance_embeds=True, qk_norm="rms_norm_across_heads"),
        scheduler=SCMScheduler(),
        **dict.fromkeys(("vae", "text_encoder", "tokenizer")),
    )

    def inputs(images: int) -> dict[str, Any]:
        return _text_inputs("", "", _masked_texts(_lengths(images), 0))

    # The intermediate timestep is for runs of two steps alone.
    call = {"guidance_scale": 4.5, "use_resolution_binning": False, "intermediate_timesteps": None}
    return Case(pipe, call, inputs, 1, 1, size=64)


def _new_hunyuan(*, sized: bool) -> HunyuanDiTPipeline:
    transformer = HunyuanDiT2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        patch_size=2,
        sample_size=8,
        hidden_size=16,
        num_layers=6,  # the blocks 4 and 5 take a skip each, of the blocks 1 and 0
        cross_attention_dim=TEXT_WIDTH,
        cross_attention_dim_t5=16,
        pooled_projection_dim=16,
        text_len=TOKENS,
        text_len_t5=TOKENS + 2,
        use_style_cond_and_image_meta_size=sized,
    )
    names = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "safety_checker", "feature_extractor")
    return HunyuanDiTPipeline(
        transformer=_random(transformer),
        scheduler=DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.018,
            beta_schedule="scaled_linear",
            clip_sample=False,
            prediction_type="v_prediction",
        ),
        requires_safety_checker=False,
        **dict.fromkeys(names),
    )


def _hunyuan_case(guidance: float, *, sized: bool) -> Case:
    def inputs(images: int) -> dict[str, Any]:
        texts: dict[str, Any] = {}
        for seed, prefix in enumerate(("", "negative_") if guidance > 1 else ("",)):
            lengths = [2] * images if prefix else _lengths(images)
            clip = _masked_texts(lengths, seed)
            t5, mask = _masked_texts(lengths, seed + 2, TOKENS + 2)
            texts |= _text_inputs(prefix, "", clip)
            texts |= _text_inputs(prefix, "_2", (t5.repeat(1, 1, 2)[..., :16], mask))
        return texts

    call = {"guidance_scale": guidance, "use_resolution_binning": False}
    return Case(_new_hunyuan(sized=sized), call, inputs, 1, 2 if guidance > 1 else 1, size=32)


class _ClassCase(Case):
    """A pipeline whose images have one size, and which always decodes them."""

    def arguments(self, images: int) -> dict[str, Any]:
        arguments = super().arguments(images)
        return {name: value for name, value in arguments.items() if name not in {"height", "width"}}

    def generate(self, *, width: int | None = None, **changes: Any) -> torch.Tensor:  # type: ignore[override]
        return torch.as_tensor(super().generate(**changes))  # arrays of diffusers before 0.42


def _dit_case(guidance: float, scheduler: SchedulerMixin) -> Case:
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=3,
        sample_size=8,
        num_embeds_ada_norm=1000,  # DiTPipeline takes the class 1000, which is one more, for unconditional
    )
    pipe = DiTPipeline(transformer=_random(transformer), vae=tiny_vae().eval(), scheduler=scheduler)
    return _ClassCase(
        pipe,
        {"guidance_scale": guidance, "output_type": "pt"},
        lambda images: {"class_labels": [3, 7, 11][:images]},
        1,
        2 if guidance > 1 else 1,
    )


OTHER_CASES: dict[str, Callable[[], Case]] = {
    "zimage-guided": lambda: _zimage_case(4.0),
    "zimage-unguided": lambda: _zimage_case(0.0),
    "lumina2-guided": lambda: _lumina_case(4.0),
    "lumina2-unguided": lambda: _lumina_case(1.0),
    "sana-guided": lambda: _sana_case(4.5),
    "sana-unguided": lambda: _sana_case(1.0),
    "sana-sprint": _sprint_case,
    "hunyuandit-guided": lambda: _hunyuan_case(5.0, sized=True),
    "hunyuandit-unguided": lambda: _hunyuan_case(1.0, sized=False),
    "dit-guided": lambda: _dit_case(4.0, DDIMScheduler(clip_sample=False)),
    "dit-unguided": lambda: _dit_case(1.0, DPMSolverMultistepScheduler()),
}
