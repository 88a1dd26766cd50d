"""Calls of a pipeline with arguments of their own in place of prompts: images to begin with, masks, frames, ..."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ecad_automl.errors import OptionError
from ecad_automl.models.generation import GenerationSettings
from ecad_automl.models.text_to_image import extra_arguments, guidance_argument

#: What MACs and the number of steps depend on, which a schedule has one of.
_OF_ALL = (
    *("num_inference_steps", "height", "width", "num_frames", "strength", "max_sequence_length"),
    *("guidance_scale", "true_cfg_scale"),
)
_REFUSED = {
    "generator": "the noise of each image comes of a seed, see images_per_prompt",
    "output_type": "images are taken as tensors",
    "return_dict": "images are taken from it",
    "sigmas": "the scheduler makes them for each number of steps",
    "timesteps": "the scheduler makes them for each number of steps",
    "num_images_per_prompt": "each call makes one, and images_per_prompt more of other noise",
    "num_videos_per_prompt": "each call makes one, and images_per_prompt more of other noise",
}
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Calls:
    """What a pipeline is called with, beside the settings that all calls have in common.

    Args:
        arguments: of each call.
        texts: the prompt of each, empty where it has none: what rewards judge by.
        digests: of all arguments of each, those in common included, 12 hexadecimal digits.
    """

    arguments: tuple[Mapping[str, Any], ...]
    texts: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What each is known by: its prompt, and a digest where that is not all that it has of its own."""
        return tuple(
            text if text and set(call) == {"prompt"} else f"{text} (call {digest})".strip()
            for call, text, digest in zip(self.arguments, self.texts, self.digests, strict=True)
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What a study keeps of them, as JSON values."""
        arguments = sorted({name for call in self.arguments for name in call})
        return {"arguments": arguments, "digests": list(self.digests)}


def read_calls(pipe: Any, given: Sequence[Mapping[str, Any]]) -> tuple[Calls, GenerationSettings]:
    """Calls of a pipeline, and the settings that they have in common; what they do not say is as its call has it.

    Args:
        pipe: a diffusers pipeline.
        given: arguments of its ``__call__``, one mapping a call; numbers, texts, images, arrays, tensors and lists of
            such.

    Raises:
        OptionError: there are none; an argument is not of this pipeline, is for the search to choose, cannot be told
            apart from another, or differs from call to call where it must not; or there is no size.
    """
    called = type(pipe)
    kind = called.__name__
    if isinstance(given, Mapping | str) or not isinstance(given, Sequence) or not given:
        raise OptionError("There are no calls; give a list of mappings, each with the arguments of a call.")
    usual = {name: argument.default for name, argument in inspect.signature(called.__call__).parameters.items()}
    for number, call in enumerate(given, start=1):
        _check(number, call, usual, kind)
    for name in _OF_ALL:
        values = {call.get(name, usual.get(name)) for call in given}
        if len(values) > 1:
            raise OptionError(
                f"The calls have {name} of {', '.join(sorted(map(str, values)))}; a schedule is for one, so give all "
                "calls the same."
            )
    common = {
        name: value
        for name, value in given[0].items()
        if name != "prompt"
        and isinstance(value, _PLAIN)
        and all(isinstance(call.get(name), _PLAIN) and call[name] == value for call in given)
    }
    arguments = tuple({name: value for name, value in call.items() if name not in common} for call in given)
    texts = tuple(str(call.get("prompt") or "").strip() for call in given)
    return Calls(arguments, texts, tuple(map(_digest, given))), _settings(pipe, usual, common)


def _check(number: int, call: object, usual: Mapping[str, Any], kind: str) -> None:
    where = f"Call {number}"
    if not isinstance(call, Mapping) or not call:
        raise OptionError(f"{where} is a {type(call).__name__}, but a mapping of arguments of {kind} is expected.")
    for name, value in call.items():
        if name not in usual or name == "self":
            raise OptionError(f"{where} has {name!r}, which {kind} does not take; leave it out.")
        if name in _REFUSED or name.startswith("callback"):
            reason = _REFUSED.get(name, "the search follows the run")
            raise OptionError(f"{where} has {name!r}, which is not for a call here: {reason}; leave it out.")
        if name == "prompt" and not isinstance(value, str):
            raise OptionError(f"The prompt of call {number} is a {type(value).__name__}, but a text is expected.")
        for part in _leaves(value):
            if not isinstance(part, (*_PLAIN, type(None), Image.Image, np.ndarray, torch.Tensor)):
                raise OptionError(
                    f"{where} has {name!r} of a {type(part).__name__}, but numbers, texts, images, arrays, tensors and "
                    "lists of such are expected, so that other calls can be told from these."
                )


def _settings(pipe: Any, usual: Mapping[str, Any], common: Mapping[str, Any]) -> GenerationSettings:
    call = {**usual, **common}
    for name in ("height", "width"):
        if not isinstance(call.get(name), int):
            raise OptionError(f"The calls have no {name}, of which MACs depend; give it to all, in pixels.")
    guided_by = guidance_argument(usual)
    steps, strength, tokens = int(call["num_inference_steps"]), call.get("strength"), call.get("max_sequence_length")
    if not isinstance(strength, float) or strength >= 1:
        strength = None
    else:
        # Of the steps, rounded up, as many as are run.
        run = steps - int(steps - steps * strength)
        steps, strength = run, run / steps
    extra = extra_arguments(pipe, usual)
    known = {"num_inference_steps", "height", "width", "max_sequence_length", guided_by}
    known |= set() if strength is None else {"strength"}
    return GenerationSettings(
        steps=steps,
        guidance_scale=float(call[guided_by]) if guided_by else 1.0,
        height=call["height"],
        width=call["width"],
        max_sequence_length=None if tokens is None else int(tokens),
        extra={**extra, **{name: common[name] for name in common if name not in known}},
        guidance_argument=guided_by,
        strength=strength,
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.items())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _digest(call: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted(call):
        digest.update(f"\0{name}\0".encode())
        for part in _leaves(call[name]):
            if isinstance(part, torch.Tensor):
                values = part.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            elif isinstance(part, Image.Image | np.ndarray):
                values = np.asarray(part)
            else:
                digest.update(json.dumps(part).encode())
                continue
            digest.update(
                f"{getattr(part, 'dtype', values.dtype)}{tuple(getattr(part, 'shape', values.shape))}".encode()
            )
            digest.update(values.tobytes())
    return digest.hexdigest()
