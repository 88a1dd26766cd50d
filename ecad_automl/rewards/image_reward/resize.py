"""Pillow's bicubic resize of 8-bit pictures, on tensors of any device: whole numbers in place of its fixed point."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["resize_levels"]

#: One, in the fixed point of Pillow's weights for pictures of 8 bits.
_ONE = 1 << 22


def resize_levels(levels: Tensor, height: int, width: int) -> Tensor:
    """Rows are resized first, then columns, each to whole levels; a side that keeps its length is left alone.

    Equal to Pillow to the bit, with one exception: Pillow 13 resizes columns first where the height shrinks by more
    than twice as many pixels as the width. There, the results differ by the rounding and clipping between the two.

    Args:
        levels: ``(..., h, w)`` float32 of whole numbers from 0 to 255.
        height: of the result.
        width: of the result.

    Returns:
        ``(..., height, width)`` float32 of whole numbers from 0 to 255.
    """
    if width != levels.shape[-1]:
        levels = _resize_rows(levels, width)
    if height != levels.shape[-2]:
        levels = _resize_rows(levels.mT, height).mT
    return levels


def _resize_rows(levels: Tensor, length: int) -> Tensor:
    weights = torch.from_numpy(_weights(levels.shape[-1], length)).to(levels.device)
    # Sums of whole numbers this small are exact in float64, in any order.
    total = levels.double() @ weights.T
    return ((total + _ONE / 2) / _ONE).floor().clamp(0, 255).float()


def _weights(before: int, after: int) -> NDArray[np.float64]:
    """What each new pixel takes of each old one, ``(after, before)``, in multiples of ``1 / _ONE``.

    Cubic convolution with a = -1/2 (Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711), widened by the scale where
    it shrinks, and cut at the border.
    """
    scale = before / after
    widened = max(scale, 1.0)
    center = (np.arange(after)[:, None] + 0.5) * scale
    first = np.maximum((center - 2 * widened + 0.5).astype(int), 0)
    end = np.minimum((center + 2 * widened + 0.5).astype(int), before)
    old = np.arange(before)
    kernel = np.where((old >= first) & (old < end), _cubic(np.abs(old - center + 0.5) / widened), 0.0)
    share: NDArray[np.float64] = kernel / kernel.sum(axis=1, keepdims=True) * _ONE
    return np.copysign(np.floor(np.abs(share) + 0.5), share)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
