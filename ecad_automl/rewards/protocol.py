"""What a reward is. Imports no torch, so that the command line can name rewards quickly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import RewardError

if TYPE_CHECKING:
    from torch import Tensor

    from ecad_automl.files.weights import Weights

Floats = NDArray[np.float64]


@runtime_checkable
class Reward(Protocol):
    """Judges images by themselves and their prompts, as ImageReward does."""

    name: str

    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """One score per image, higher is better.

        Args:
            images: ``(n, 3, h, w)`` float in [0, 1].
            prompts: ``n`` prompts.

        Returns:
            ``(n,)`` floats.
        """
        ...


@runtime_checkable
class PairedReward(Protocol):
    """Judges images against the uncached images of the same prompts and seeds."""

    name: str

    def score_pairs(self, images: Tensor, references: Tensor, prompts: Sequence[str]) -> Floats:
        """One score per image, higher is better.

        Args:
            images: ``(n, 3, h, w)`` float in [0, 1].
            references: ``(n, 3, h, w)`` float in [0, 1], the uncached images.
            prompts: ``n`` prompts.

        Returns:
            ``(n,)`` floats.
        """
        ...


def check_scores(name: str, scores: Floats, count: int) -> Floats:
    """The scores as ``(count,)`` float64.

    Raises:
        RewardError: the shape is another, or a score is NaN or infinite.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.shape != (count,):
        raise RewardError(
            f"The reward {name!r} gave scores of the shape {array.shape} for {count} images; one number "
            "per image is expected."
        )
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise RewardError(
            f"The reward {name!r} gave {array[bad[0]]} for image {bad[0]} of {count}; every score must be a finite "
            "number. Look at that image: a half-precision pipeline may have overflowed."
        )
    return array


def higher_is_better(reward: Reward | PairedReward) -> bool:
    """Whether larger scores are better: so unless the attribute of that name says otherwise, as for distances."""
    return bool(getattr(reward, "higher_is_better", True))


def weights_of(reward: Reward | PairedReward) -> tuple[Weights, ...]:
    """The weights that scores come from: those that the attribute ``weights`` names, if there is one."""
    return tuple(getattr(reward, "weights", ()))
