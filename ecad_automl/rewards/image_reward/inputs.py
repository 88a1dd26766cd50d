"""What may be scored: checks of images and prompts that both ways of scoring share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ecad_automl.errors import PromptError, RewardError

__all__ = ["Images", "check_images", "check_prompt_count"]

Images = Tensor | Sequence[Image.Image]
"""``(n, 3, h, w)`` float in [0, 1], or ``n`` PIL images of any sizes."""


def check_images(images: Images) -> None:
    """Whether these are images.

    Raises:
        RewardError: a tensor is not ``(n, 3, h, w)`` of floats in [0, 1], or something else is no list of PIL images.
    """
    if not isinstance(images, Tensor):
        _check_pictures(images)
        return
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise RewardError(
            f"ImageReward was given images of the shape {tuple(images.shape)}; (n, 3, height, width) is expected."
        )
    if not images.is_floating_point():
        raise RewardError(
            f"ImageReward was given images of the type {images.dtype}; floats in [0, 1] are expected: divide levels "
            "by 255."
        )
    if not len(images):
        return
    low, high = (float(value) for value in torch.aminmax(images.detach()))
    if not (low >= 0 and high <= 1):  # also of NaN
        raise RewardError(
            f"ImageReward was given images with values from {low:g} to {high:g}; all must be in [0, 1]: scale or clamp "
            "them, and look for overflow where one is NaN."
        )


def check_prompt_count(prompts: Sequence[str], images: int) -> None:
    """Whether each image has a prompt.

    Raises:
        PromptError: prompts are one string, something else than strings, or not as many as images.
    """
    if isinstance(prompts, str):
        raise PromptError(
            f"ImageReward was given the prompts {prompts!r}; a list with one prompt per image is expected."
        )
    if len(prompts) != images:
        raise PromptError(
            f"ImageReward was given {len(prompts)} prompts for {images} images; one per image is expected."
        )
    for place, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise PromptError(f"ImageReward was given {prompt!r} as prompt {place}; a string is expected.")


def _check_pictures(pictures: Sequence[Image.Image]) -> None:
    if isinstance(pictures, Image.Image):
        raise RewardError("ImageReward was given one PIL image; a list with one per prompt is expected.")
    for place, picture in enumerate(pictures):
        if not isinstance(picture, Image.Image):
            raise RewardError(
                f"ImageReward was given a {type(picture).__name__} as image {place}; a PIL image is expected, or one "
                "tensor (n, 3, height, width) of all images."
            )
        if 0 in picture.size:
            raise RewardError(
                f"ImageReward was given a PIL image of {picture.size} pixels as image {place}; it is empty."
            )
