"""Images as the network takes them: the short side resized to its input size, centre crop, CLIP's mean and deviation.

The image-reward package reads pictures of 8 bits by Pillow. A tensor is therefore taken as the picture that saving it
gives.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ecad_automl.rewards.preprocessing import Images, normalized, to_pil


def to_pixels(images: Images, size: int) -> Tensor:
    """Network input of images.

    Args:
        images: ``(n, 3, h, w)`` floats in [0, 1], or ``n`` PIL images of any sizes and modes.
        size: height and width of the input.

    Returns:
        ``(n, 3, size, size)`` float32, normalized, on the CPU.
    """
    pictures = to_pil(images) if isinstance(images, Tensor) else images
    levels = torch.from_numpy(np.stack([np.asarray(_crop(picture, size)) for picture in pictures]))
    return normalized(levels.permute(0, 3, 1, 2).float() / 255)


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
