"""Images on their way into a scorer: checked, as 8-bit pictures, or as pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ecad_automl.errors import PromptError, RewardError

Images = Tensor | Sequence[Image.Image]
"""``(n, 3, h, w)`` floats in [0, 1], or ``n`` pictures of any sizes."""

#: CLIP's mean and deviation of red, green and blue in [0, 1].
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def check_images(name: str, images: Images, prompts: Sequence[str]) -> None:
    """See that these are images, with a prompt for each.

    Raises:
        RewardError: a tensor is not ``(n, 3, h, w)`` of floats in [0, 1], or something else is no list of PIL images.
        PromptError: prompts are one string, something else than strings, or not as many as images.
    """
    if isinstance(images, Tensor):
        _check_tensor(name, images)
    else:
        _check_pictures(name, images)
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise PromptError(f"The reward {name!r} was given {prompts!r:.80} as prompts; a list of texts is expected.")
    if len(images) != len(prompts):
        raise PromptError(
            f"The reward {name!r} was given {len(images)} images and {len(prompts)} prompts; one prompt per image is "
            "expected."
        )


def _check_tensor(name: str, images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:] or not images.is_floating_point():
        raise RewardError(
            f"The reward {name!r} was given images as a tensor of shape {tuple(images.shape)} and {images.dtype}; "
            "(n, 3, h, w) floats in [0, 1] are expected."
        )
    low, high = (float(value) for value in torch.aminmax(images.detach())) if len(images) else (0.0, 0.0)
    if not (low >= 0 and high <= 1):  # also of NaN
        raise RewardError(
            f"The reward {name!r} was given images with values from {low:g} to {high:g}; all must be in [0, 1]: scale "
            "or clamp them, and look for overflow where one is NaN."
        )


def _check_pictures(name: str, pictures: Sequence[Image.Image]) -> None:
    if isinstance(pictures, Image.Image):
        raise RewardError(f"The reward {name!r} was given one PIL image; a list with one per prompt is expected.")
    for place, picture in enumerate(pictures):
        if not isinstance(picture, Image.Image) or 0 in picture.size:
            what = f"empty {type(picture).__name__}" if isinstance(picture, Image.Image) else type(picture).__name__
            raise RewardError(
                f"The reward {name!r} was given a {what} as image {place}; a PIL image is expected, or one tensor "
                "(n, 3, h, w) of all images."
            )


def to_pil(images: Images) -> list[Image.Image]:
    """RGB pictures, rounded to 8 bits as where diffusers makes pictures of a tensor; pictures stay what they are."""
    if not isinstance(images, Tensor):
        return [image.convert("RGB") for image in images]
    levels = (images.detach().float() * 255).round().to(torch.uint8)
    return [Image.fromarray(image) for image in levels.permute(0, 2, 3, 1).cpu().numpy()]


def to_unit_tensors(images: Images) -> list[Tensor]:
    """Tensors of shape ``(3, h, w)``, float32 in [0, 1]; those of a tensor are not rounded."""
    if isinstance(images, Tensor):
        return list(images.detach().float())
    return [_pixels(image.convert("RGB")) for image in images]


def fit_longest(image: Tensor, size: int) -> Tensor:
    """Scale the longer side to ``size`` and pad the shorter one with black, equally on both sides.

    Bicubic with antialiasing, as torchvision resizes tensors; what overshoots [0, 1] is not cut.

    Args:
        image: ``(3, h, w)`` floats.
        size: pixels.

    Returns:
        ``(3, size, size)`` floats.
    """
    height, width = image.shape[-2:]
    scale = size / max(height, width)
    if scale != 1.0:
        shape = (round(height * scale), round(width * scale))
        image = functional.interpolate(image[None], shape, mode="bicubic", align_corners=False, antialias=True)[0]
    below, right = size - image.shape[-2], size - image.shape[-1]
    return functional.pad(image, (right // 2, right - right // 2, below // 2, below - below // 2))


def normalized(pixels: Tensor) -> Tensor:
    """``(n, 3, h, w)`` floats in [0, 1] by CLIP's mean and deviation."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (_MEAN, _STD))
    return (pixels - mean) / std


def _pixels(image: Image.Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
