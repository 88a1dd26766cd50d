"""The scale on which the surrogate works: the logarithm of the drop of reward against the uncached run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogDrop"]

Floats = NDArray[np.float64]

#: Added to a drop before the logarithm is taken: smaller drops are alike.
_OFFSET = 0.03
#: Least value whose logarithm is taken; rewards well above the uncached one end up here.
_LEAST = 0.25 * _OFFSET
#: The largest drop to predict.
_DEEPEST = 1e3


@dataclass(frozen=True)
class LogDrop:
    """``log((uncached - reward) / spread + 0.03)``: errors of cheap and of dear schedules are of one size here.

    Between twofold and tenfold speedup drops grow a hundredfold, and so do the errors of any model of them.

    Args:
        uncached: reward of the uncached run.
        spread: the unit of the drops, not negative: the range of the rewards of interest.
    """

    uncached: float
    spread: float

    @property
    def unit(self) -> float:
        """The unit of the drops, above 0 even where there is no spread."""
        return max(self.spread, 1e-9 * (1.0 + abs(self.uncached)))

    def of(self, rewards: Floats) -> Floats:
        """Log drops of ``(n,)`` rewards."""
        logarithms: Floats = np.log(np.maximum((self.uncached - rewards) / self.unit + _OFFSET, _LEAST))
        return logarithms

    def reward(self, log_drop: Floats) -> Floats:
        """Rewards of ``(n,)`` log drops: the inverse of :meth:`of`."""
        rewards: Floats = self.uncached - self.unit * np.minimum(np.exp(log_drop) - _OFFSET, _DEEPEST)
        return rewards

    def slope(self, log_drop: Floats) -> Floats:
        """Reward lost per unit of log drop: turns an error on one scale into one on the other."""
        return self.unit * np.minimum(np.exp(log_drop), _DEEPEST + _OFFSET)
