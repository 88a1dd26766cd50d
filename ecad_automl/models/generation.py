"""How images are generated: the settings of a call, and how each pipeline takes prepared prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ecad_automl.errors import EvaluationError
from ecad_automl.patching import replaced

if TYPE_CHECKING:
    from torch import Tensor

#: Dimensions of a batch of videos.
VIDEO = 5

_PIXART = (
    {"clean_caption": False},
    ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask"),
)

# Pipelines whose text inputs are prepared: what encode_prompt is given beside the prompt, and what the call calls what
# it gives. All others are given plain text.
_PREPARED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "PixArtAlphaPipeline": _PIXART,
    "PixArtSigmaPipeline": _PIXART,
    "FluxPipeline": ({"prompt_2": None}, ("prompt_embeds", "pooled_prompt_embeds")),
    "StableDiffusion3Pipeline": (
        {"prompt_2": None, "prompt_3": None},
        ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds"),
    ),
}

# A negative prompt that says nothing: pipelines with true_cfg_scale take it to mean that there is guidance at all.
_NO_NEGATIVE = " "


@dataclass(frozen=True)
class GenerationSettings:
    """The arguments of a pipeline call that schedules and scores depend on.

    Args:
        steps: number of denoising steps.
        guidance_scale: classifier-free (or distilled) guidance.
        height: pixels.
        width: pixels.
        max_sequence_length: text tokens that prompts are padded or cut to; None where the pipeline does not take it.
        extra: further arguments of the pipeline's ``__call__``.
        guidance_argument: what the pipeline calls the guidance scale; None where it takes none.
        strength: the share of the pipeline's steps that is run, of one that begins with an image; ``steps`` are those
            that are run. None where all are.
    """

    steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int | None
    extra: Mapping[str, Any] = field(default_factory=dict)
    guidance_argument: str | None = "guidance_scale"
    strength: float | None = None

    @property
    def classifier_free_guidance(self) -> float:
        """Its scale: of pipelines that have a distilled one beside it, which ``guidance_scale`` is, the true one."""
        return float(self.extra.get("true_cfg_scale", self.guidance_scale))

    def call_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the pipeline's ``__call__``."""
        arguments: dict[str, Any] = {"num_inference_steps": self.steps, "height": self.height, "width": self.width}
        if self.guidance_argument is not None:
            arguments[self.guidance_argument] = self.guidance_scale
        if self.max_sequence_length is not None:
            arguments["max_sequence_length"] = self.max_sequence_length
        if self.strength is not None:
            from ecad_automl.runtime.step_counts import strength_arguments  # needs torch

            arguments |= strength_arguments(self.steps, self.strength)
        return arguments | dict(self.extra)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        data = {**asdict(self), "extra": dict(self.extra)}
        # Studies know this form from before there was a choice.
        if self.guidance_argument == "guidance_scale":
            del data["guidance_argument"]
        if self.strength is None:
            del data["strength"]
        return data


def takes_embeddings(pipe: Any) -> bool:
    """Whether :func:`encode_prompts` gives embeddings for a pipeline, so that its calls need no text encoder."""
    return type(pipe).__name__ in _PREPARED


def encode_prompts(pipe: Any, prompts: Sequence[str], settings: GenerationSettings) -> list[dict[str, Any]]:
    """Each prompt as keyword arguments of the pipeline's ``__call__``.

    PixArt, FLUX and Stable Diffusion 3 get text embeddings, computed once. All others get the text, since how they pad
    it may depend on the other prompts of a call; :func:`remembered_texts` saves them from encoding it again.

    Args:
        pipe: a diffusers pipeline.
        prompts: ``n`` prompts.
        settings: guidance and text length.

    Returns:
        ``n`` dictionaries of tensors, or lists of texts, with a batch axis of one; :func:`stack_prompts` joins several.
    """
    import torch

    prepared = _PREPARED.get(type(pipe).__name__)
    guided = settings.guidance_scale > 1.0
    if prepared is None:
        negative = (
            {"negative_prompt": [_NO_NEGATIVE]} if guided and settings.guidance_argument == "true_cfg_scale" else {}
        )
        return [{"prompt": [prompt], **negative} for prompt in prompts]
    given, names = prepared
    if "negative_prompt_embeds" in names:
        given = {**given, "do_classifier_free_guidance": guided}
    encoded = []
    with torch.no_grad():
        for prompt in prompts:
            found = pipe.encode_prompt(prompt, max_sequence_length=settings.max_sequence_length, **given)
            named = zip(names, found, strict=False)
            encoded.append({name: value for name, value in named if guided or not name.startswith("negative")})
    return encoded


def stack_prompts(encoded: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join prepared prompts into the arguments of one call; of a single one they may be anything."""
    import torch

    joined: dict[str, Any] = {}
    for name in encoded[0]:
        values = [item[name] for item in encoded]
        if len(values) == 1:
            # Some pipelines change lists that they are given.
            joined[name] = list(values[0]) if isinstance(values[0], list) else values[0]
            continue
        texts = isinstance(values[0], list)
        joined[name] = [text for value in values for text in value] if texts else torch.cat(values)
    if "negative_prompt_embeds" in joined:
        # PixArt's default negative prompt is "", which it refuses beside embeddings.
        joined["negative_prompt"] = None
    return joined


@contextmanager
def remembered_texts(pipe: Any, memory: dict[str, Any]) -> Iterator[None]:
    """For a while, a pipeline encodes the same texts in the same way only once.

    Args:
        pipe: a diffusers pipeline; one without ``encode_prompt`` is left as it is.
        memory: what was encoded before, to be used again.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    told_apart = (str, int, float, type(None), torch.device, torch.dtype)

    encode = getattr(pipe, "encode_prompt", None)
    if encode is None:
        yield
        return

    def remembered(*args: Any, **kwargs: Any) -> Any:
        if not all(isinstance(value, told_apart) for value in tree_leaves((args, kwargs))):
            return encode(*args, **kwargs)  # encoded already, or read with images
        key = repr((args, sorted(kwargs.items())))
        if key not in memory:
            memory[key] = encode(*args, **kwargs)
        return memory[key]

    with replaced("encode_prompt", (pipe, remembered)):
        yield


def run_to_latents(
    pipe: Any, encoded: Sequence[Mapping[str, Any]], seeds: Sequence[int], settings: GenerationSettings
) -> None:
    """One pipeline call of which nothing is decoded, for whoever watches it; arguments as of :func:`generate_batch`."""
    _called(pipe, encoded, seeds, settings, "latent")


def _called(
    pipe: Any,
    encoded: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    settings: GenerationSettings,
    output_type: str,
) -> Any:
    import torch

    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    noise = generators if len(generators) > 1 else generators[0]  # not all pipelines take a list
    with torch.no_grad():
        return pipe(**stack_prompts(encoded), **settings.call_arguments(), generator=noise, output_type=output_type)


def generate_batch(
    pipe: Any, encoded: Sequence[Mapping[str, Any]], seeds: Sequence[int], settings: GenerationSettings
) -> Tensor:
    """One pipeline call.

    Args:
        pipe: the pipeline.
        encoded: ``n`` prepared prompts, see :func:`encode_prompts`; or the arguments of a single call.
        seeds: ``n`` seeds of the noise, drawn on the CPU so that it is the same on every device.
        settings: how to generate.

    Returns:
        ``(n, 3, h, w)``, or of videos ``(n, frames, 3, h, w)``, float32 in [0, 1] on the CPU.

    Raises:
        EvaluationError: the pipeline gave values that are not finite, or neither an image nor a video of each prompt.
    """
    import torch

    output = _called(pipe, encoded, seeds, settings, "pt")
    made = next(iter(output.values()))  # images or frames
    if not isinstance(made, torch.Tensor) or made.ndim not in (VIDEO - 1, VIDEO) or len(made) != len(seeds):
        shape = f" of the shape {tuple(made.shape)}" if isinstance(made, torch.Tensor) else ""
        raise EvaluationError(
            f"{type(pipe).__name__} gave a {type(made).__name__}{shape} for {len(seeds)} images; as many images or "
            "videos are expected, as tensors."
        )
    images: Tensor = made.float().cpu()
    if not bool(torch.isfinite(images).all()):
        raise EvaluationError(
            "The pipeline gave images with NaN or infinite pixels; use a wider dtype (bfloat16 or float32)."
        )
    return images
