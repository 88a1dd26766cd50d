"""The reward of a search, however it is given. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecad_automl.errors import RewardError
from ecad_automl.rewards import Floats, PairedReward, Reward, load_reward, maximized

if TYPE_CHECKING:
    from torch import Tensor


class FunctionReward:
    """A reward that a plain function gives.

    Args:
        function: from images, ``(n, 3, h, w)`` float in [0, 1], and ``n`` prompts to ``n`` scores, higher is better: a
            sequence, an array or a tensor.
    """

    def __init__(self, function: Callable[[Any, Sequence[str]], Any]) -> None:
        self._function = function
        self.name = function.__name__

    def score(self, images: Tensor, prompts: Sequence[str]) -> Floats:
        """See :class:`~ecad_automl.rewards.Reward`."""
        scores = self._function(images, prompts)
        if hasattr(scores, "detach"):
            scores = scores.detach().cpu().numpy()
        return np.asarray(scores, dtype=np.float64)


def as_reward(given: Any, device: str | None = None) -> Reward | PairedReward:
    """What a search maximizes.

    Args:
        given: a name as for :func:`~ecad_automl.rewards.load_reward`, a reward, or a function, see
            :class:`FunctionReward`. Of distances, the less the better, minus them is maximized.
        device: torch device of one that is named.

    Raises:
        RewardError: it is none of these, or a function without a name.
    """
    if isinstance(given, str):
        return maximized(load_reward(given, device=device))
    if isinstance(given, type):
        raise RewardError(f"The reward is the class {given.__name__}; give an object of it: {given.__name__}().")
    if isinstance(given, Reward | PairedReward):
        return maximized(given)
    if not callable(given):
        raise RewardError(
            f"The reward is a {type(given).__name__}, but a name, a function (images, prompts) -> scores or an object "
            "with a name and score(images, prompts) or score_pairs(images, references, prompts) is expected."
        )
    name = getattr(given, "__name__", "")
    if not name.isidentifier():
        raise RewardError(
            "The reward is a function without a name, and a study goes on only with the reward of the same name; "
            "write it with def."
        )
    return FunctionReward(given)
