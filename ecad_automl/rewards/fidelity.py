"""Fidelity: how close an image is to the uncached one of the same prompt and seed. Works for every model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ecad_automl.rewards.protocol import Floats


class FidelityReward:
    """Minus the root mean squared pixel distance, in [-1, 0]; 0 is the uncached image itself."""

    name = "fidelity"

    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.protocol.PairedReward`."""
        del prompts
        distance = (images.double() - references.double()).square().flatten(1).mean(dim=1).sqrt()
        return -np.asarray(distance.cpu())
