"""Transformers that join image and text in one attention."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKLFlux2,
    ChromaPipeline,
    ChromaTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from PIL import Image
from torch import nn

from ecad_automl.runtime import layout_of_call
from ecad_automl.schedules.layout import Layout
from tests.runtime.cases.base import TOKENS, Case, embedded_inputs
from tests.tiny_models import tiny_flux_transformer

__all__ = ["JOINT_CASES"]

FEWER_TOKENS = 4
TEXT_WIDTH = 12

Inputs = Callable[[int], dict[str, Any]]


class CalledCase(Case):
    """A case whose layout comes from a call, even where the family knows the inputs of other pipelines."""

    @cached_property
    def layout(self) -> Layout:
        """The layout of what ``generate`` makes."""
        with warnings.catch_warnings():
            # diffusers 0.42 builds its own Chroma of a part that it calls deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            return layout_of_call(self.pipe, **self.arguments(1))


def _pipeline(kind: type, transformer: nn.Module, vae: nn.Module | None = None, **more: Any) -> DiffusionPipeline:
    """A pipeline with random weights that takes embeddings."""
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=kind is not AuraFlowPipeline)
    return kind(
        tokenizer=None,
        text_encoder=None,
        vae=None if vae is None else vae.eval(),
        transformer=_random(transformer),
        scheduler=scheduler,
        **more,
    )


def _random(transformer: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.2)
    return transformer.eval()


def _embeddings(images: int, tokens: int = TOKENS, seed: int = 0) -> torch.Tensor:
    return torch.randn(images, tokens, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))


def _mask(images: int, tokens: int = TOKENS) -> torch.Tensor:
    """All tokens of the first prompt are valid, and fewer of the others."""
    mask = torch.ones(images, tokens)
    mask[1:, FEWER_TOKENS:] = 0
    return mask


def _flux2_transformer(*, guidance: bool) -> Flux2Transformer2DModel:
    return Flux2Transformer2DModel(
        in_channels=8,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=guidance,
    )


def _flux2_case() -> Case:
    pipe = _pipeline(Flux2Pipeline, _flux2_transformer(guidance=True))
    return Case(pipe, {"guidance_scale": 4.0}, lambda images: {"prompt_embeds": _embeddings(images)}, 1, 1, size=32)


def _klein_case(*, distilled: bool) -> Case:
    """Either distilled, with an image as reference, or guided."""
    torch.manual_seed(0)
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(2, 2, 2, 2),
        layers_per_block=1,
        norm_num_groups=1,
        latent_channels=2,
    )
    pipe = _pipeline(Flux2KleinPipeline, _flux2_transformer(guidance=False), vae, is_distilled=distilled)

    def inputs(images: int) -> dict[str, Any]:
        prompts = {"prompt_embeds": _embeddings(images)}
        if distilled:
            return {**prompts, "image": Image.linear_gradient("L").resize((64, 64)).convert("RGB")}
        return {**prompts, "negative_prompt_embeds": _embeddings(images, seed=1)}

    branches = 1 if distilled else 2
    return Case(pipe, {"guidance_scale": 1.0 if distilled else 4.0}, inputs, branches, branches, size=32)


def _qwen_case(*, true_cfg: bool) -> Case:
    transformer = QwenImageTransformer2DModel(
        in_channels=8,
        out_channels=2,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(2, 2, 4),
        # As in Qwen-Image-Edit 2511: each modulation is computed for a second timestep too.
        zero_cond_t=not true_cfg,
    )

    def inputs(images: int) -> dict[str, Any]:
        prompts = {"prompt_embeds": _embeddings(images), "prompt_embeds_mask": _mask(images)}
        if not true_cfg:
            return prompts
        negative = _embeddings(images, FEWER_TOKENS, seed=1)
        negative_mask = torch.ones(images, FEWER_TOKENS)
        return {**prompts, "negative_prompt_embeds": negative, "negative_prompt_embeds_mask": negative_mask}

    branches = 2 if true_cfg else 1
    call = {"true_cfg_scale": 4.0 if true_cfg else 1.0}
    return Case(_pipeline(QwenImagePipeline, transformer), call, inputs, branches, branches, size=32)


def _cogview4_case(*, guided: bool) -> Case:
    transformer = CogView4Transformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=8,
        condition_dim=4,
        rope_axes_dim=(8, 8),
    )

    def inputs(images: int) -> dict[str, Any]:
        prompts = {"prompt_embeds": _embeddings(images)}
        # Texts are padded to the next multiple of 16, not all to one length.
        return {**prompts, "negative_prompt_embeds": _embeddings(images, FEWER_TOKENS, 1)} if guided else prompts

    branches = 2 if guided else 1
    call = {"guidance_scale": 5.0 if guided else 1.0}
    return Case(_pipeline(CogView4Pipeline, transformer), call, inputs, branches, branches, size=16)


def _aura_flow_case() -> Case:
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        num_mmdit_layers=2,
        num_single_dit_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        caption_projection_dim=16,
        pos_embed_max_size=64,
    )
    inputs = _masked_inputs(guided=True)
    return Case(_pipeline(AuraFlowPipeline, transformer), {"guidance_scale": 3.5}, inputs, 1, 2, size=32)


def _chroma_case(*, guided: bool) -> Case:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        transformer = ChromaTransformer2DModel(
            in_channels=8,
            num_layers=2,
            num_single_layers=3,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=TEXT_WIDTH,
            axes_dims_rope=(2, 2, 4),
            approximator_num_channels=16,
            approximator_hidden_dim=8,
            approximator_layers=2,
        )
    branches = 2 if guided else 1
    call = {"guidance_scale": 5.0 if guided else 1.0}
    inputs = _masked_inputs(guided=guided)
    return CalledCase(_pipeline(ChromaPipeline, transformer), call, inputs, branches, branches, size=32)


def _masked_inputs(*, guided: bool) -> Inputs:
    """Texts that are all padded to the same length."""

    def inputs(images: int) -> dict[str, Any]:
        prompts = {"prompt_embeds": _embeddings(images), "prompt_attention_mask": _mask(images)}
        if not guided:
            return prompts
        negative = _embeddings(images, seed=1)
        return {**prompts, "negative_prompt_embeds": negative, "negative_prompt_attention_mask": _mask(images)}

    return inputs


def _kontext_case() -> Case:
    """FLUX with a reference image, given as latents of 16 channels, which needs no VAE."""
    transformer = tiny_flux_transformer(in_channels=64, num_layers=2, pooled_projection_dim=10)
    parts = dict.fromkeys(("text_encoder_2", "tokenizer_2"))
    # The pipeline scales height and width to this area.
    call = {"guidance_scale": 2.5, "max_area": 32 * 64}
    reference = torch.randn(1, 16, 6, 4, generator=torch.Generator().manual_seed(2))
    pipe = _pipeline(FluxKontextPipeline, transformer, **parts)
    return CalledCase(pipe, call, lambda images: {**embedded_inputs(images), "image": reference}, 1, 1, size=32)


def _hidream_case(*, guided: bool) -> Case:
    """An image that is not square, whose tokens are padded to the most that there may be, and masked."""
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        caption_channels=[TEXT_WIDTH, TEXT_WIDTH],
        text_emb_dim=10,
        num_routed_experts=3,
        num_activated_experts=2,
        axes_dims_rope=(4, 2, 2),
        max_resolution=(8, 8),
        llama_layers=[0, 1, 1, 0],
    )
    parts = {f"{part}_{number}": None for part in ("text_encoder", "tokenizer") for number in (2, 3, 4)}
    pipe = _pipeline(HiDreamImagePipeline, transformer, **parts)
    pipe.default_sample_size = 8  # images are scaled to the area of this

    def texts(images: int, prefix: str, seed: int) -> dict[str, Any]:
        layers = torch.stack([_embeddings(images, seed=seed + layer) for layer in (1, 2)])
        pooled = _embeddings(images, seed=seed)[:, 0, :10]
        found = {"prompt_embeds_t5": _embeddings(images, seed=seed), "prompt_embeds_llama3": layers}
        return {f"{prefix}{name}": value for name, value in (found | {"pooled_prompt_embeds": pooled}).items()}

    def inputs(images: int) -> dict[str, Any]:
        return texts(images, "", 0) | (texts(images, "negative_", 3) if guided else {})

    call = {"guidance_scale": 5.0 if guided else 1.0}
    return Case(pipe, call, inputs, 1, 2 if guided else 1, size=32)


JOINT_CASES: dict[str, Callable[[], Case]] = {
    "flux2": _flux2_case,
    "flux2-klein-guided": lambda: _klein_case(distilled=False),
    "flux2-klein-distilled": lambda: _klein_case(distilled=True),
    "qwen-image-guided": lambda: _qwen_case(true_cfg=True),
    "qwen-image-unguided": lambda: _qwen_case(true_cfg=False),
    "cogview4-guided": lambda: _cogview4_case(guided=True),
    "cogview4-unguided": lambda: _cogview4_case(guided=False),
    "aura-flow": _aura_flow_case,
    "chroma-guided": lambda: _chroma_case(guided=True),
    "chroma-unguided": lambda: _chroma_case(guided=False),
    "flux-kontext": _kontext_case,
    "hidream-guided": lambda: _hidream_case(guided=True),
    "hidream-unguided": lambda: _hidream_case(guided=False),
}
