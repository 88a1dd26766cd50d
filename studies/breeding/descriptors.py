"""Readable numbers that say what a candidate is like; the parameters of its trial in a dashboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution

from ecad_automl.errors import OptionError, StudyError


@dataclass(frozen=True)
class Descriptor:
    """One number of a candidate.

    Args:
        of: from its genes to the number.
        low: the least that it can be.
        high: the largest, above ``low``.

    Raises:
        OptionError: the range is empty.
    """

    of: Callable[[NDArray[Any]], Any]
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -np.inf < self.low < self.high < np.inf:
            raise OptionError(f"A descriptor has the range {self.low} to {self.high}; the first must be lower.")


def distributions(descriptors: Mapping[str, Descriptor]) -> dict[str, BaseDistribution]:
    """The parameters of every trial."""
    return {name: FloatDistribution(each.low, each.high) for name, each in descriptors.items()}


def describe(descriptors: Mapping[str, Descriptor], genes: NDArray[Any]) -> dict[str, float]:
    """The numbers of one candidate by name.

    Raises:
        StudyError: one is outside its range.
    """
    found = {}
    for name, descriptor in descriptors.items():
        value = float(descriptor.of(genes))
        if not descriptor.low <= value <= descriptor.high:
            raise StudyError(
                f"The descriptor {name!r} is {value:g} for a genome; it was said to be from {descriptor.low:g} to "
                f"{descriptor.high:g}."
            )
        found[name] = value
    return found


def share_of(mask: NDArray[np.bool_]) -> Descriptor:
    """The share of ones among the bits where ``mask``, of the genes' shape, is True; 0 where that is nowhere."""
    return Descriptor(partial(_share, mask))


def _share(mask: NDArray[np.bool_], bits: NDArray[np.bool_]) -> float:
    chosen = bits[mask]
    return float(chosen.mean()) if chosen.size else 0.0
