"""Images as the network takes them: the short side resized to its input size, centre crop, CLIP's mean and deviation.

The image-reward package reads pictures of 8 bits by PIL. Of a tensor, :func:`tensor_pixels` makes the same without
leaving its device: 8-bit levels as of a saved image, and a resize in PIL's two passes (rows, then columns) with its
rounding after each, so that the two agree in nearly all pixels and differ by one level of 255 in the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["picture_pixels", "tensor_pixels", "to_levels"]

#: CLIP's, for red, green and blue in [0, 1].
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


def picture_pixels(pictures: Sequence[Image.Image], size: int) -> Tensor:
    """Network input of PIL images of any sizes and modes.

    Returns:
        ``(n, 3, size, size)`` float32, normalized.
    """
    crops = [_crop(picture, size) for picture in pictures]
    levels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    return _normalize(levels.permute(0, 3, 1, 2).float())


def tensor_pixels(images: Tensor, size: int) -> Tensor:
    """Network input of images of one size.

    Args:
        images: ``(n, 3, h, w)`` float in [0, 1], on any device.
        size: height and width of the input.

    Returns:
        ``(n, 3, size, size)`` float32 on the same device, normalized.
    """
    levels = to_levels(images)
    height, width = _resized(levels.shape[-2], levels.shape[-1], size)
    if width != levels.shape[-1]:
        levels = _bicubic(levels, levels.shape[-2], width)
    if height != levels.shape[-2]:
        levels = _bicubic(levels, height, width)
    top, left = _corner(height, size), _corner(width, size)
    return _normalize(levels[..., top : top + size, left : left + size])


def to_levels(images: Tensor) -> Tensor:
    """Floats in [0, 1] as the nearest of the levels 0 to 255 that a saved image has, in float32."""
    return (images.float() * 255).round()


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


def _bicubic(levels: Tensor, height: int, width: int) -> Tensor:
    smooth = interpolate(levels, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return (smooth + 0.5).floor().clamp(0, 255)


def _normalize(levels: Tensor) -> Tensor:
    mean = torch.tensor(_MEAN, device=levels.device).view(3, 1, 1)
    std = torch.tensor(_STD, device=levels.device).view(3, 1, 1)
    return (levels / 255 - mean) / std
