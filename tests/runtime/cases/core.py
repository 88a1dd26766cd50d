"""PixArt, FLUX and Stable Diffusion 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    StableDiffusion3Pipeline,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tests.runtime.cases.base import TOKENS, Case, embedded_inputs
from tests.tiny_models import tiny_flux_transformer, tiny_pixart_transformer, tiny_sd3_transformer, tiny_vae

__all__ = ["CORE_CASES", "new_flux", "new_pixart", "new_pixart_transformer", "new_sd3", "pixart_inputs"]

CLIP_TOKENS = 77  # which Stable Diffusion 3 puts before those of T5
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "circle", "square"]


def new_pixart_transformer(layers: int = 2) -> PixArtTransformer2DModel:
    torch.manual_seed(1)
    return tiny_pixart_transformer(out_channels=8, num_layers=layers).eval()


def new_pixart(pipeline: type = PixArtAlphaPipeline, layers: int = 2) -> DiffusionPipeline:
    torch.manual_seed(0)
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return pipeline(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"),
        text_encoder=T5EncoderModel(
            T5Config(vocab_size=len(WORDS), d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        ).eval(),
        vae=tiny_vae().eval(),
        transformer=new_pixart_transformer(layers),
        scheduler=DPMSolverMultistepScheduler(),
    )


def new_flux(layers: int = 1, single_layers: int = 2) -> DiffusionPipeline:
    torch.manual_seed(0)
    transformer = tiny_flux_transformer(
        in_channels=8, num_layers=layers, num_single_layers=single_layers, pooled_projection_dim=10
    ).eval()
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    return FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), transformer=transformer, **parts)


def new_sd3(layers: int = 3) -> DiffusionPipeline:
    torch.manual_seed(0)
    transformer = tiny_sd3_transformer(
        num_layers=layers, joint_attention_dim=12, pooled_projection_dim=10, qk_norm="rms_norm"
    ).eval()
    names = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3")
    return StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), transformer=transformer, **dict.fromkeys(names)
    )


def pixart_inputs(images: int) -> dict[str, Any]:
    prompts = ["a red circle", "a blue square", "a blue circle"]
    return {"prompt": [prompts[index % len(prompts)] for index in range(images)]}


def _pixart_case(guidance: float, pipeline: type = PixArtAlphaPipeline) -> Case:
    call = {
        "guidance_scale": guidance,
        "use_resolution_binning": False,
        "clean_caption": False,
        "max_sequence_length": TOKENS,
    }
    return Case(new_pixart(pipeline), call, pixart_inputs, 1, 2 if guidance > 1 else 1)


def _flux_case(*, true_cfg: bool) -> Case:
    call = {"guidance_scale": 3.5, "true_cfg_scale": 2.0 if true_cfg else 1.0, "max_sequence_length": TOKENS}

    def inputs(images: int) -> dict[str, Any]:
        return {**embedded_inputs(images), **(embedded_inputs(images, "negative_") if true_cfg else {})}

    branches = 2 if true_cfg else 1
    return Case(new_flux(), call, inputs, branches, branches, size=32)


def _sd3_case(guidance: float) -> Case:
    def inputs(images: int) -> dict[str, Any]:
        tokens = CLIP_TOKENS + TOKENS
        negative = embedded_inputs(images, "negative_", tokens) if guidance > 1 else {}
        return {**embedded_inputs(images, tokens=tokens), **negative}

    return Case(
        new_sd3(), {"guidance_scale": guidance, "max_sequence_length": TOKENS}, inputs, 1, 2 if guidance > 1 else 1
    )


CORE_CASES: dict[str, Callable[[], Case]] = {
    "pixart-guided": lambda: _pixart_case(4.5),
    "pixart-unguided": lambda: _pixart_case(1.0),
    "sigma-guided": lambda: _pixart_case(4.5, PixArtSigmaPipeline),
    "flux": lambda: _flux_case(true_cfg=False),
    "flux-true-cfg": lambda: _flux_case(true_cfg=True),
    "sd3-guided": lambda: _sd3_case(4.5),
    "sd3-unguided": lambda: _sd3_case(1.0),
}
