"""How images are generated: the settings of a call, and how each pipeline takes prepared prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["GenerationSettings", "encode_prompts", "supported_pipelines"]


@dataclass(frozen=True)
class GenerationSettings:
    """The arguments of a pipeline call that schedules and scores depend on.

    Args:
        steps: number of denoising steps.
        guidance_scale: classifier-free (or distilled) guidance.
        height: pixels.
        width: pixels.
        max_sequence_length: text tokens that prompts are padded or cut to.
        extra: further arguments of the pipeline's ``__call__``.
    """

    steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def call_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the pipeline's ``__call__``."""
        return {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "height": self.height,
            "width": self.width,
            "max_sequence_length": self.max_sequence_length,
            **self.extra,
        }

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {**asdict(self), "extra": dict(self.extra)}


def supported_pipelines() -> dict[str, str]:
    """Name of each pipeline class that :func:`encode_prompts` knows, and the kind of its text inputs."""
    return {
        "PixArtAlphaPipeline": "pixart",
        "PixArtSigmaPipeline": "pixart",
        "FluxPipeline": "flux",
        "StableDiffusion3Pipeline": "sd3",
    }


def encode_prompts(pipe: Any, prompts: Sequence[str], settings: GenerationSettings) -> list[dict[str, Any]]:
    """Text embeddings of each prompt, computed once, as keyword arguments of the pipeline's ``__call__``.

    Args:
        pipe: a diffusers pipeline of a class in :func:`supported_pipelines`, or any other, which is given plain text.
        prompts: ``n`` prompts.
        settings: guidance and text length.

    Returns:
        ``n`` dictionaries of tensors with a batch axis of one; :func:`stack_prompts` joins several.
    """
    import torch

    kind = supported_pipelines().get(type(pipe).__name__)
    if kind is None:
        return [{"prompt": [prompt]} for prompt in prompts]
    encoded = []
    with torch.no_grad():
        for prompt in prompts:
            if kind == "pixart":
                guided = settings.guidance_scale > 1.0
                embeds, mask, negative, negative_mask = pipe.encode_prompt(
                    prompt, guided, max_sequence_length=settings.max_sequence_length, clean_caption=False
                )
                arguments = {"prompt_embeds": embeds, "prompt_attention_mask": mask}
                if guided:
                    arguments |= {"negative_prompt_embeds": negative, "negative_prompt_attention_mask": negative_mask}
            elif kind == "sd3":
                guided = settings.guidance_scale > 1.0
                embeds, negative, pooled, negative_pooled = pipe.encode_prompt(
                    prompt,
                    None,
                    None,
                    do_classifier_free_guidance=guided,
                    max_sequence_length=settings.max_sequence_length,
                )
                arguments = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
                if guided:
                    arguments |= {
                        "negative_prompt_embeds": negative,
                        "negative_pooled_prompt_embeds": negative_pooled,
                    }
            else:
                embeds, pooled, _ = pipe.encode_prompt(prompt, None, max_sequence_length=settings.max_sequence_length)
                arguments = {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}
            encoded.append(arguments)
    return encoded


def stack_prompts(encoded: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join prepared prompts into the arguments of one call."""
    import torch

    joined: dict[str, Any] = {}
    for name in encoded[0]:
        values = [item[name] for item in encoded]
        joined[name] = [text for value in values for text in value] if name == "prompt" else torch.cat(values)
    if "negative_prompt_embeds" in joined:
        # PixArt's default negative prompt is "", which it refuses beside embeddings.
        joined["negative_prompt"] = None
    return joined
