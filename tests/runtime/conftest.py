"""Small real pipelines with random weights, and a slow reference for what running under a schedule means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
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

from ecad_automl.layout import Layout
from ecad_automl.runtime import layout_of
from ecad_automl.schedule import Schedule
from tests.tiny_models import tiny_flux_transformer, tiny_pixart_transformer, tiny_sd3_transformer, tiny_vae

TOKENS = 6
CLIP_TOKENS = 77  # which Stable Diffusion 3 puts before those of T5
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "circle", "square"]


#: Replays the definition of a schedule on a case while a function runs it.
Reference = Callable[["Case", Schedule, Callable[[], torch.Tensor]], torch.Tensor]


@dataclass
class Case:
    """A pipeline and one way to call it."""

    pipe: Any
    call: dict[str, Any]
    inputs: Callable[[int], dict[str, Any]]  # what a number of images is asked for by
    calls_per_step: int  # of the transformer
    branches: int  # guidance branches per image
    size: int = 16

    def __post_init__(self) -> None:
        self.pipe.set_progress_bar_config(disable=True)

    @cached_property
    def layout(self) -> Layout:
        """The layout of what ``generate`` makes."""
        return layout_of(
            self.pipe, height=self.size, width=2 * self.size, guidance=False, text_tokens=TOKENS, branches=self.branches
        )

    def generate(self, *, steps: int = 4, images: int = 1, seed: int = 0, **changes: object) -> torch.Tensor:
        """Latents of a run."""
        arguments = {
            **self.inputs(images),
            "num_inference_steps": steps,
            "height": self.size,
            "width": 2 * self.size,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "latent",
            "max_sequence_length": TOKENS,
            **self.call,
            **changes,
        }
        return self.pipe(**arguments).images

    def random_schedule(self, seed: int, steps: int = 4, share: float = 0.4) -> Schedule:
        bits = np.random.default_rng(seed).random((steps, len(self.layout))) < share
        return Schedule(self.layout, bits)


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


def embedded_inputs(images: int, prefix: str = "", tokens: int = TOKENS) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(len(prefix))
    return {
        f"{prefix}prompt_embeds": torch.randn(images, tokens, 12, generator=generator),
        f"{prefix}pooled_prompt_embeds": torch.randn(images, 10, generator=generator),
    }


def _pixart_case(guidance: float, pipeline: type = PixArtAlphaPipeline) -> Case:
    call = {"guidance_scale": guidance, "use_resolution_binning": False, "clean_caption": False}
    return Case(new_pixart(pipeline), call, pixart_inputs, 1, 2 if guidance > 1 else 1)


def _flux_case(*, true_cfg: bool) -> Case:
    call = {"guidance_scale": 3.5, "true_cfg_scale": 2.0 if true_cfg else 1.0}

    def inputs(images: int) -> dict[str, Any]:
        return {**embedded_inputs(images), **(embedded_inputs(images, "negative_") if true_cfg else {})}

    branches = 2 if true_cfg else 1
    return Case(new_flux(), call, inputs, branches, branches, size=32)


def _sd3_case(guidance: float) -> Case:
    def inputs(images: int) -> dict[str, Any]:
        tokens = CLIP_TOKENS + TOKENS
        negative = embedded_inputs(images, "negative_", tokens) if guidance > 1 else {}
        return {**embedded_inputs(images, tokens=tokens), **negative}

    return Case(new_sd3(), {"guidance_scale": guidance}, inputs, 1, 2 if guidance > 1 else 1)


CASES: dict[str, Callable[[], Case]] = {
    "pixart-guided": lambda: _pixart_case(4.5),
    "pixart-unguided": lambda: _pixart_case(1.0),
    "sigma-guided": lambda: _pixart_case(4.5, PixArtSigmaPipeline),
    "flux": lambda: _flux_case(true_cfg=False),
    "flux-true-cfg": lambda: _flux_case(true_cfg=True),
    "sd3-guided": lambda: _sd3_case(4.5),
    "sd3-unguided": lambda: _sd3_case(1.0),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Every supported pipeline, with and without guidance."""
    return CASES[request.param]()


@pytest.fixture
def pixart() -> Case:
    """PixArt-alpha with classifier-free guidance, two images in one transformer batch."""
    return CASES["pixart-guided"]()


@pytest.fixture
def flux() -> Case:
    """FLUX with a negative prompt: two transformer calls a step, in contexts of their own."""
    return CASES["flux-true-cfg"]()


@pytest.fixture
def reference() -> Reference:
    """The definition, replayed: a slot's raw output stays in use until the slot is recomputed."""
    return _reference


def _reference(case: Case, schedule: Schedule, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    transformer = case.pipe.transformer
    count = -1
    cached: dict[tuple[int, int], Any] = {}

    def count_calls(forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: object, **kwargs: object) -> object:
            nonlocal count
            count += 1
            return forward(*args, **kwargs)

        return counted

    def replay(index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def replayed(*args: object, **kwargs: object) -> object:
            step, branch = divmod(count, case.calls_per_step)
            if schedule.compute[step, index] or (branch, index) not in cached:
                cached[branch, index] = forward(*args, **kwargs)
            return cached[branch, index]

        return replayed

    patched = [transformer.get_submodule(slot.name) for slot in schedule.layout.slots]
    transformer.forward = count_calls(transformer.forward)
    for index, module in enumerate(patched):
        module.forward = replay(index, module.forward)
    try:
        return run()
    finally:
        for module in (transformer, *patched):
            del module.forward
