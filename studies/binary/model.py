"""What is known of both objectives before a generation: what was evaluated, and what it makes surrogates expect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecad_automl.errors import StudyError
from studies.binary.config import BinaryConfig
from studies.binary.genome import Bits
from studies.binary.objectives import Roles, exact_values
from studies.binary.trust import Trust, trust_in
from surrogate import GaussianForecast, TableSurrogate, bit_features, probability_above

__all__ = ["FIRST_FIT", "Expected", "Model", "Past"]

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

#: Fewest evaluated genomes from which a surrogate is fitted.
FIRST_FIT = 12
#: The value that is told to Optuna may differ from an exact one by this part: what is kept as float32, say.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Past:
    """All that was evaluated before a generation, in an order that does not depend on when.

    Args:
        bits: ``(n, bits)``.
        values: ``(n, 2)`` finite, as told to Optuna.
        constraints: ``(n, constraints)``: above 0 where one is violated, as Optuna has it; NaN where it was not told.
        generation: ``(n,)``.
        operators: ``n`` names of the operators that bred each; empty for those that were not bred.
        foretold: ``(n, 2, 2)``: of each objective the prediction that each trial carries and its standard deviation;
            NaN where it has none.
        tried: genomes that are not to be tried again, those of failed trials among them.
    """

    bits: Bits
    values: Floats
    constraints: Floats
    generation: Integers
    operators: Sequence[str]
    foretold: Floats
    tried: frozenset[str]

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """``(n,)``: which violate no constraint."""
        return ~np.asarray((self.constraints > 0).any(axis=1), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Expected:
    """What is expected of ``n`` candidates.

    Args:
        objectives: by index, in the units in which they are told to Optuna.
        feasible: ``(n,)``: probability that all constraints are met.
    """

    objectives: Mapping[int, GaussianForecast]
    feasible: Floats

    def joined(self, other: Expected) -> Expected:
        """Of these and other candidates."""
        objectives = {
            index: GaussianForecast(
                np.concatenate([each.reward, other.objectives[index].reward]),
                np.concatenate([each.std, other.objectives[index].std]),
            )
            for index, each in self.objectives.items()
        }
        return Expected(objectives, np.concatenate([self.feasible, other.feasible]))


class Model:
    """What is known of objectives and constraints: surrogates, fitted once, and exact functions."""

    def __init__(self, config: BinaryConfig, roles: Roles, past: Past) -> None:
        self._config = config
        #: In the predictions of each objective that is not exact, at equal values of the other one.
        self.trust: dict[int, Trust] = {}
        self._surrogates: dict[int, TableSurrogate] = {}
        for index, values in exact_values(config.exact, past.bits).items():
            _check_exact(index, values, past.values[:, index])
        modeled = [index for index in (0, 1) if index not in config.exact]
        told = np.isfinite(past.constraints)
        bounded = [column for column in range(told.shape[1]) if told[:, column].sum() >= FIRST_FIT]
        self._needs_features = bool(modeled or bounded)
        features = _features(config, past.bits) if self._needs_features else np.empty(0)
        self._constraints = [
            TableSurrogate(config.seed % 2**28).fit(features[told[:, i]], -past.constraints[told[:, i], i])
            for i in bounded
        ]
        signed = np.array(roles.signs) * past.values
        for index in modeled:
            self._surrogates[index] = TableSurrogate(config.seed % 2**28).fit(features, past.values[:, index])
            mean, std = roles.signs[index] * past.foretold[:, index, 0], past.foretold[:, index, 1]
            known = np.isfinite(mean)
            self.trust[index] = trust_in(
                mean[known], std[known], signed[known, index], signed[known, 1 - index], config.trust
            )

    def predict(self, bits: Bits) -> Expected:
        """For ``(n, bits)``."""
        found = {
            index: GaussianForecast(values, np.zeros(len(values)))
            for index, values in exact_values(self._config.exact, bits).items()
        }
        feasible = np.ones(len(bits))
        features = _features(self._config, bits) if self._needs_features else np.empty(0)
        for index, surrogate in self._surrogates.items():
            found[index] = surrogate.predict(features).stretched(self.trust[index].stretch)
        for surrogate in self._constraints:
            feasible *= probability_above(surrogate.predict(features), 0.0)
        return Expected(found, feasible)


def _check_exact(index: int, values: Floats, told: Floats) -> None:
    scale = max(float(np.abs(told).max()), 1e-12)
    wrong = np.flatnonzero(np.abs(values - told) > _TOLERANCE * scale)
    if len(wrong):
        raise StudyError(
            f"The function of the exact objective {index} gives {values[wrong[0]]:g} for a genome that was evaluated "
            f"to {told[wrong[0]]:g}; leave out of 'exact' what is not known exactly."
        )


def _features(config: BinaryConfig, bits: Bits) -> Floats:
    if config.features is None:
        return bit_features(bits, config.shape)
    found = np.asarray(config.features(bits), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(bits) or not np.isfinite(found).all():
        raise StudyError(
            f"'features' gave an array of the shape {found.shape} for {len(bits)} genomes; it must give "
            "(genomes, features), all finite."
        )
    return found
