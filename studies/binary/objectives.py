"""Two objectives of any direction as a reward to maximize and a cost to minimize, which is what the maths knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection

from ecad_automl.errors import StudyError
from studies.binary.genome import Bits
from surrogate import GaussianForecast, Reference, reference_of

__all__ = ["Exact", "Roles", "exact_values"]

Floats = NDArray[np.float64]

Exact = Callable[[Bits], Any]
"""From ``(n, bits)`` bool to the ``(n,)`` values of an objective, in the unit in which it is told to Optuna."""


@dataclass(frozen=True)
class Roles:
    """Which objective is the reward, which is the cost, and the sign of each.

    Args:
        reward: index of the objective that takes the part of the reward.
        signs: of both objectives, by index: values times sign are the reward, or the cost.
    """

    reward: int
    signs: tuple[float, float]

    @classmethod
    def of(cls, directions: Sequence[StudyDirection], exact: Collection[int]) -> Roles:
        """The first objective that is not exact is the reward, for the cost is what may be exact.

        Raises:
            StudyError: there are not two objectives.
        """
        if len(directions) != 2:
            raise StudyError(
                f"The study has {len(directions)} objective{'s' * (len(directions) != 1)}, but PackedBinarySampler is "
                "for two; create the study with two directions, or use another sampler."
            )
        reward = next((index for index in (0, 1) if index not in exact), 0)
        better = [1.0 if direction is StudyDirection.MAXIMIZE else -1.0 for direction in directions]
        return cls(reward, (better[0], -better[1]) if reward == 0 else (-better[0], better[1]))

    @property
    def cost(self) -> int:
        """Index of the other objective."""
        return 1 - self.reward

    def split(self, values: Floats) -> tuple[Floats, Floats]:
        """Rewards and costs of ``(n, 2)`` values: two arrays ``(n,)``."""
        return self.signs[self.reward] * values[:, self.reward], self.signs[self.cost] * values[:, self.cost]

    def signed(self, index: int, forecast: GaussianForecast) -> GaussianForecast:
        """The forecast of an objective as one of reward or cost."""
        return GaussianForecast(self.signs[index] * forecast.reward, forecast.std)

    def reference(self, values: Floats, given: Sequence[float] | None) -> Reference:
        """The point that bounds the hypervolume.

        Args:
            values: ``(n, 2)`` of what was evaluated, at least one row.
            given: by the user, in the units of the objectives; None takes it from the front.
        """
        if given is None:
            return reference_of(*self.split(values))
        reward, cost = self.split(np.array([given], dtype=np.float64))
        return Reference(float(reward[0]), float(cost[0]))


def exact_values(exact: Mapping[int, Exact], bits: Bits) -> dict[int, Floats]:
    """The values of exact objectives: by index, each ``(n,)`` for ``(n, bits)``.

    Raises:
        StudyError: a function gave something else.
    """
    found = {}
    for index, function in exact.items():
        values = np.asarray(function(bits), dtype=np.float64)
        if values.shape != (len(bits),) or not np.isfinite(values).all():
            raise StudyError(
                f"The function of the exact objective {index} gave an array of the shape {values.shape} for "
                f"{len(bits)} genomes; it must give one finite number for each row of bits."
            )
        found[index] = values
    return found
