"""Fidelity as a person sees it: distance to the uncached image in the features of a network, and in pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ecad_automl.rewards.fidelity import FidelityReward
from ecad_automl.rewards.protocol import Floats

#: Added to the length of a feature vector, so that one of zeros has a direction.
_EPSILON = 1e-6


def perceptual_distance(features: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """How far apart pictures are in the features of a network.

    As in LPIPS (Zhang et al. 2018, arXiv 1801.03924, without learned weights): features are scaled to length 1 over
    channels at every position; squared differences are summed over channels and layers, and averaged over positions.

    Args:
        features: for each layer, ``(n, channels, ...)``.
        references: of the pictures to compare with, alike.

    Returns:
        ``(n,)`` float64, from 0; at most 4 for each layer.
    """
    total = torch.zeros(len(features[0]), dtype=torch.float64, device=features[0].device)
    for made, reference in zip(features, references, strict=True):
        squares = (_unit(made) - _unit(reference)).square().sum(dim=1)
        total += squares.flatten(1).mean(dim=1) if squares.ndim > 1 else squares
    return total


class PerceptualFidelity:
    """Minus the root of :func:`perceptual_distance` and minus the root mean squared pixel distance; 0 is the best.

    Roots make both grow as the error does, so that no single image outweighs all others in a mean.

    Args:
        name: of the reward.
        features: from ``(n, 3, h, w)`` pictures in [0, 1] to ``(n, channels, ...)`` features of each layer.
    """

    def __init__(self, name: str, features: Callable[[Tensor], Sequence[Tensor]]) -> None:
        self.name = name
        self._features = features
        self._pixels = FidelityReward()

    @torch.no_grad()
    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`."""
        distance = perceptual_distance(*(self._features(each.float().cpu()) for each in (images, references)))
        found: Floats = self._pixels.score_pairs(images, references, prompts) - np.asarray(distance.sqrt())
        return found


def _unit(features: Tensor) -> Tensor:
    features = features.double()
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON)
