"""Images as the network takes them: the short side resized to its input size, centre crop, CLIP's mean and deviation.

The image-reward package reads pictures of 8 bits by Pillow. A tensor is therefore taken as the picture that saving it
gives. On a CUDA device it stays there, see :mod:`~ecad_automl.rewards.image_reward.resize` for how the results compare;
elsewhere Pillow itself resizes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ecad_automl.rewards.image_reward.resize import resize_levels

__all__ = ["levels_to_pixels", "picture_pixels", "tensor_pixels", "to_levels", "to_pictures"]

#: CLIP's, for red, green and blue in [0, 1].
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def picture_pixels(pictures: Sequence[Image.Image], size: int) -> Tensor:
    """Network input of PIL images of any sizes and modes.

    Returns:
        ``(n, 3, size, size)`` float32, normalized.
    """
    crops = np.stack([np.asarray(_crop(picture, size)) for picture in pictures])
    return _normalize(torch.from_numpy(crops).permute(0, 3, 1, 2).float())


def tensor_pixels(images: Tensor, size: int) -> Tensor:
    """Network input of images of one size.

    Args:
        images: ``(n, 3, h, w)`` float in [0, 1].
        size: height and width of the input.

    Returns:
        ``(n, 3, size, size)`` float32, normalized; on the same device if that is a CUDA device, else on the CPU.
    """
    if images.device.type == "cuda":
        return levels_to_pixels(to_levels(images), size)
    return picture_pixels(to_pictures(images), size)


def levels_to_pixels(levels: Tensor, size: int) -> Tensor:
    """Network input of 8-bit levels on any device that has float64.

    Args:
        levels: ``(n, 3, h, w)`` float32 of whole numbers from 0 to 255.
        size: height and width of the input.

    Returns:
        ``(n, 3, size, size)`` float32 on the same device, normalized.
    """
    height, width = _resized(levels.shape[-2], levels.shape[-1], size)
    top, left = _corner(height, size), _corner(width, size)
    return _normalize(resize_levels(levels, height, width)[..., top : top + size, left : left + size])


def to_levels(images: Tensor) -> Tensor:
    """Floats in [0, 1] as the nearest of the levels 0 to 255 that a saved image has, in float32."""
    return (images.float() * 255).round()


def to_pictures(images: Tensor) -> list[Image.Image]:
    """Images ``(n, 3, h, w)`` in [0, 1] as PIL images."""
    return [Image.fromarray(picture) for picture in to_levels(images).byte().permute(0, 2, 3, 1).cpu().numpy()]


def _crop(picture: Image.Image, size: int) -> Image.Image:
    # Converted last, as the package does: a picture with a palette or transparency is resized as what it is.
    width, height = picture.size
    new_height, new_width = _resized(height, width, size)
    if (new_height, new_width) != (height, width):
        picture = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
    top, left = _corner(new_height, size), _corner(new_width, size)
    return picture.crop((left, top, left + size, top + size)).convert("RGB")


def _resized(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with a short side of ``size``; the long one is cut to whole pixels."""
    if height < width:
        return size, int(size * width / height)
    return int(size * height / width), size


def _corner(length: int, size: int) -> int:
    return round((length - size) / 2)


def _normalize(levels: Tensor) -> Tensor:
    mean = torch.tensor(_MEAN, device=levels.device).view(3, 1, 1)
    std = torch.tensor(_STD, device=levels.device).view(3, 1, 1)
    return (levels / 255 - mean) / std
